//===- Parameters.cpp - Between files and a model's parameters ------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Parameters.h"
#include "runtime/core/Suggest.h"
#include "runtime/weights/Convert.h"
#include "runtime/weights/Init.h"
#include "runtime/weights/Printable.h"
#include "runtime/weights/ViewRegion.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

namespace qrt {

ParallelTasks parallelTasks(Device &device) {
  return [&device](int64_t n, const std::function<void(int64_t)> &task) {
    device.pool().parallelFor(
        "weights",
        [](void *raw, int64_t begin, int64_t end, void *) {
          const auto &run =
              *static_cast<const std::function<void(int64_t)> *>(raw);
          for (int64_t i = begin; i < end; ++i)
            run(i);
        },
        const_cast<std::function<void(int64_t)> *>(&task), n, 1);
  };
}

namespace {

/// Whether a set of tensors with that prefix holds the parameter: not every
/// optimizer has a second moment.
bool hasValues(const ParameterInfo &parameter, const std::string &prefix) {
  return prefix != "moment2." || parameter.moments == 2;
}

/// Work is cut into pieces of about this many elements, for threads.
constexpr int64_t taskElements = int64_t(1) << 20;
/// Elements read at a time when they have to be moved on.
constexpr int64_t bufferElements = int64_t(1) << 16;
/// Lines of one kind in an error: enough for all tensors of any real model.
constexpr size_t maxListed = 2000;

/// One layer of one parameter and the file tensor it is read from.
struct Load {
  size_t set, parameter;
  int64_t layer;
  const FileView *view;
  ViewRegion region;
  std::string name; // as the canonical or the other view says
  std::optional<size_t> tensor;
  /// Of a part of a block: where it begins in the target, in elements.
  int64_t offset = 0;
};

/// Collects what does not fit, for one error at the end.
class Mismatches {
public:
  void missing(const std::string &name, const std::vector<int64_t> &shape) {
    add(kinds[0], fmt::format("{} {}", printable(name), shapeText(shape)));
    missingNames.push_back(name);
  }
  void extra(const SourceTensor &t) {
    add(kinds[1], fmt::format("{} {}", printable(t.name), shapeText(t.shape)));
    extraNames.push_back(t.name);
  }
  void misshapen(const SourceTensor &t, const std::vector<int64_t> &wanted) {
    add(kinds[2], fmt::format("{} {}, the model has {}", printable(t.name),
                              shapeText(t.shape), shapeText(wanted)));
  }
  void unreadable(const SourceTensor &t) {
    add(kinds[3], fmt::format("{} {}", printable(t.name), t.dtype));
  }

  Status result(const std::string &where) const {
    std::string head, lists;
    for (const Kind &kind : kinds) {
      if (kind.count == 0)
        continue;
      head += fmt::format("{}{} {}", head.empty() ? "" : ", ", kind.count,
                          kind.name);
      for (const std::string &line : kind.lines)
        lists += fmt::format("\n  {}: {}", kind.name, line);
      if (kind.count > kind.lines.size())
        lists += fmt::format("\n  {}: and {} more", kind.name,
                             kind.count - kind.lines.size());
    }
    if (head.empty())
      return Status::success();
    bool onlyDtypes = kinds[0].count + kinds[1].count + kinds[2].count == 0;
    // One wrong name shows up twice; say so if that is all.
    std::string hint;
    if (missingNames.size() == 1)
      hint = didYouMean(missingNames[0], extraNames);
    return makeError(onlyDtypes ? 3022 : 3021, where,
                     "the weights do not fit the model: {}{}{}", head, hint,
                     lists);
  }

private:
  struct Kind {
    const char *name;
    size_t count = 0;
    std::vector<std::string> lines;
  };
  void add(Kind &kind, std::string line) {
    if (++kind.count <= maxListed)
      kind.lines.push_back(std::move(line));
  }
  Kind kinds[4] = {{"missing", 0, {}},
                   {"extra", 0, {}},
                   {"misshapen", 0, {}},
                   {"unreadable dtype (F32, F16 and BF16 are read)", 0, {}}};
  std::vector<std::string> missingNames, extraNames;
};

/// What has to be read of a load: the parts of its target's block; of what is
/// quantized whole rows, whose scales are needed.
std::vector<Load> partsOf(const Load &load, const ParameterTarget &target) {
  if (!target.isWanted())
    return {};
  if (!target.block)
    return {load};
  MatrixBlock block = *target.block;
  if (target.isQuantized()) {
    block.col = 0;
    block.cols = target.quantized.rowLength();
  }
  std::vector<Load> parts;
  for (const RegionPiece &piece : load.region.piecesOf(block)) {
    parts.push_back(load);
    parts.back().region = piece.region;
    parts.back().offset = piece.offset;
  }
  return parts;
}

class Loader {
public:
  Loader(const WeightSource &source,
         const std::vector<ParameterInfo> &parameters,
         const std::vector<TargetSet> &sets, const ParallelTasks &parallel)
      : source(source), parameters(parameters), sets(sets), parallel(parallel),
        random(source.format() == WeightFormat::Random),
        format(source.format() == WeightFormat::Gguf ? "gguf" : "hf") {}

  Status run() {
    QRT_RETURN_IF_ERROR(resolve());
    QRT_RETURN_IF_ERROR(read());
    return compareAliases();
  }

private:
  Status resolve();
  Status resolveOne(size_t set, size_t parameter, int64_t layer,
                    const std::vector<FileView> &views);
  Status read();
  Status readPart(const Load &load, int64_t begin, int64_t end) const;
  Status readQuantized(const Load &load, const QuantizedMatrix &to,
                       int64_t begin, int64_t end) const;
  Status readRows(const Load &load, int64_t row, int64_t last, float *to) const;
  Status fetch(const Load &load, int64_t element, int64_t count,
               float *to) const;
  Status compareAliases() const;
  Status compareAlias(const Load &alias) const;
  Status comparePart(const Load &alias, const ParameterTarget &target) const;
  Status compareQuantized(const Load &alias,
                          const QuantizedMatrix &target) const;
  Status compareValues(const Load &alias, int64_t first, const float *mine,
                       const float *theirs, size_t count) const;

  const WeightSource &source;
  const std::vector<ParameterInfo> &parameters;
  const std::vector<TargetSet> &sets;
  const ParallelTasks &parallel;
  bool random;
  std::string format;
  std::vector<Load> loads, aliases;
  std::vector<bool> used;
  Mismatches mismatches;
};

Status Loader::resolveOne(size_t set, size_t parameter, int64_t layer,
                          const std::vector<FileView> &views) {
  const ParameterInfo &info = parameters[parameter];
  std::optional<Load> chosen;
  for (const FileView &view : views) {
    QRT_ASSIGN_OR_RETURN(ViewRegion region, ViewRegion::make(info, view));
    Load load{set,         parameter,
              layer,       &view,
              region,      sets[set].prefix + view.nameOfLayer(layer),
              std::nullopt};
    if (!random)
      load.tensor = source.find(load.name);
    if (load.tensor) {
      const SourceTensor &tensor = source.tensors()[*load.tensor];
      // Used even if it does not fit: then it is not also an extra one.
      bool wanted = view.alias || !chosen || !chosen->tensor;
      if (!wanted)
        continue; // the canonical tensor is there: this one is extra
      bool firstUse = !used[*load.tensor];
      used[*load.tensor] = true;
      bool fits = tensor.shape == view.fileShape;
      if (firstUse && !fits)
        mismatches.misshapen(tensor, view.fileShape);
      if (firstUse && !WeightSource::isReadable(tensor.dtype))
        mismatches.unreadable(tensor);
    }
    if (view.alias) {
      if (load.tensor)
        aliases.push_back(std::move(load));
    } else if (!chosen || (!chosen->tensor && load.tensor)) {
      chosen = std::move(load);
    }
  }
  if (!chosen)
    return makeError(3024, source.description(),
                     "parameter '{}' has no name in files of format '{}'",
                     info.name, format);
  loads.push_back(std::move(*chosen));
  return Status::success();
}

Status Loader::resolve() {
  used.assign(source.tensors().size(), false);
  for (size_t set = 0; set < sets.size(); ++set)
    for (size_t p = 0; p < parameters.size(); ++p) {
      auto views = parameters[p].views.find(format);
      if (views == parameters[p].views.end() || views->second.empty())
        return makeError(3024, source.description(),
                         "the model does not say how parameter '{}' lies in "
                         "files of format '{}'",
                         parameters[p].name, format);
      if (!hasValues(parameters[p], sets[set].prefix))
        continue;
      for (int64_t layer = 0; layer < parameters[p].layerCount(); ++layer)
        QRT_RETURN_IF_ERROR(resolveOne(set, p, layer, views->second));
    }
  if (random)
    return Status::success();
  std::map<std::string, bool> reported; // parameters that share a tensor
  for (const Load &load : loads)
    if (!load.tensor && reported.emplace(load.name, true).second)
      mismatches.missing(load.name, load.view->fileShape);
  for (size_t i = 0; i < used.size(); ++i)
    if (!used[i] && !isKnownBuffer(source.tensors()[i].name))
      mismatches.extra(source.tensors()[i]);
  return mismatches.result(source.description());
}

/// Elements of the file tensor, wherever they come from.
Status Loader::fetch(const Load &load, int64_t element, int64_t count,
                     float *to) const {
  if (!random)
    return source.readF32(*load.tensor, element, count, to);
  initialValues(parameters[load.parameter].init, source.seed(), load.name,
                static_cast<uint64_t>(element), static_cast<uint64_t>(count),
                to);
  return Status::success();
}

/// Rows [row, last) of the load's block, dense.
Status Loader::readRows(const Load &load, int64_t row, int64_t last,
                        float *to) const {
  const ViewRegion &r = load.region;
  auto position = [&](int64_t i) {
    return (r.firstRow + i) * r.fileCols + r.firstCol;
  };
  if (r.numCols == r.fileCols)
    return fetch(load, position(row), (last - row) * r.numCols, to);
  for (int64_t i = row; i < last; ++i)
    QRT_RETURN_IF_ERROR(
        fetch(load, position(i), r.numCols, to + (i - row) * r.numCols));
  return Status::success();
}

/// A row is quantized as a whole: where the file has another order, all of the
/// matrix is put in order first (see read()).
Status Loader::readQuantized(const Load &load, const QuantizedMatrix &to,
                             int64_t begin, int64_t end) const {
  const ViewRegion &r = load.region;
  int64_t step = std::max<int64_t>(1, bufferElements / r.numCols);
  std::vector<float> rows(
      static_cast<size_t>(std::min(step, end - begin) * r.numCols));
  std::vector<float> matrix(r.isPlain() ? 0 : r.numRows * r.numCols);
  int64_t first = load.offset / to.rowLength();
  for (int64_t row = begin; row < end; row += step) {
    int64_t last = std::min(end, row + step);
    QRT_RETURN_IF_ERROR(readRows(load, row, last, rows.data()));
    if (r.isPlain())
      quantizeRows(rows.data(), first + row, last - row, to);
    else
      r.scatter(row, last, rows.data(), r.numCols, matrix.data());
  }
  if (!r.isPlain())
    quantizeRows(matrix.data(), first, r.numRows * r.numCols / to.rowLength(),
                 to);
  return Status::success();
}

/// Rows [begin, end) of the load's block.
Status Loader::readPart(const Load &load, int64_t begin, int64_t end) const {
  const ViewRegion &r = load.region;
  ParameterTarget target = sets[load.set].targets(load.parameter, load.layer);
  if (target.isQuantized())
    return readQuantized(load, target.quantized, begin, end);
  bool rounded = target.dtype == DType::BF16;
  if (!rounded && target.dtype != DType::F32)
    return makeError(3022, source.description(),
                     "parameter '{}' cannot be loaded as {}",
                     parameters[load.parameter].name, nameOf(target.dtype));
  auto *wide = static_cast<float *>(target.data) + load.offset;
  auto *narrow = static_cast<uint16_t *>(target.data) + load.offset;
  auto position = [&](int64_t row) {
    return (r.firstRow + row) * r.fileCols + r.firstCol;
  };
  if (r.isPlain() && !rounded)
    return fetch(load, position(begin), (end - begin) * r.numCols,
                 wide + begin * r.in);
  if (r.isPlain() && !random)
    return source.readBf16(*load.tensor, position(begin),
                           (end - begin) * r.numCols, narrow + begin * r.in);
  int64_t step = std::max<int64_t>(1, bufferElements / r.numCols);
  std::unique_ptr<float[]> buffer(
      new float[static_cast<size_t>(std::min(step, end - begin) * r.numCols)]);
  for (int64_t row = begin; row < end; row += step) {
    int64_t last = std::min(end, row + step);
    QRT_RETURN_IF_ERROR(readRows(load, row, last, buffer.get()));
    if (rounded)
      r.scatter(row, last, buffer.get(), r.numCols, narrow);
    else
      r.scatter(row, last, buffer.get(), r.numCols, wide);
  }
  return Status::success();
}

/// Runs the tasks and gives the error of the first that failed, whatever their
/// order was.
Status runTasks(const ParallelTasks &parallel, size_t count,
                const std::function<Status(size_t)> &task) {
  std::vector<Status> results(count);
  auto body = [&](int64_t i) {
    results[static_cast<size_t>(i)] = task(static_cast<size_t>(i));
  };
  if (parallel)
    parallel(static_cast<int64_t>(count), body);
  else
    for (size_t i = 0; i < count; ++i)
      body(static_cast<int64_t>(i));
  for (Status &status : results)
    QRT_RETURN_IF_ERROR(std::move(status));
  return Status::success();
}

Status Loader::read() {
  struct Part {
    Load load;
    int64_t begin, end;
  };
  std::vector<Part> parts;
  for (const Load &whole : loads) {
    ParameterTarget target =
        sets[whole.set].targets(whole.parameter, whole.layer);
    for (const Load &load : partsOf(whole, target)) {
      const ViewRegion &r = load.region;
      int64_t step = std::max<int64_t>(1, taskElements / r.numCols);
      if (target.isQuantized() && !r.isPlain())
        step = r.numRows;
      for (int64_t row = 0; row < r.numRows; row += step)
        parts.push_back({load, row, std::min(r.numRows, row + step)});
    }
  }
  return runTasks(parallel, parts.size(), [&](size_t i) {
    return readPart(parts[i].load, parts[i].begin, parts[i].end);
  });
}

/// The values of a tied parameter and of its duplicate in the file, `count` of
/// them from element `first` of the duplicate on.
Status Loader::compareValues(const Load &alias, int64_t first,
                             const float *mine, const float *theirs,
                             size_t count) const {
  for (size_t i = 0; i < count; ++i)
    // Not a number equals nothing, so compare what both would store.
    if (mine[i] != theirs[i] &&
        (mine[i] == mine[i] || theirs[i] == theirs[i])) {
      int64_t element = first + static_cast<int64_t>(i);
      return makeError(
          3023, source.description(),
          "tensor '{}' differs from parameter '{}' at [{}, {}] ({} and {}), "
          "but the model ties them",
          printable(source.tensors()[*alias.tensor].name),
          parameters[alias.parameter].name,
          alias.region.firstRow + element / alias.region.numCols,
          alias.region.firstCol + element % alias.region.numCols, theirs[i],
          mine[i]);
    }
  return Status::success();
}

/// What both would be as numbers after quantization.
Status Loader::compareQuantized(const Load &alias,
                                const QuantizedMatrix &target) const {
  const ViewRegion &r = alias.region;
  int64_t k = target.columns, length = target.rowLength();
  int64_t total = r.numRows * r.numCols;
  // Rows in another order than the matrix's are compared all at once.
  int64_t step = std::max<int64_t>(1, bufferElements / r.numCols);
  if (!r.isPlain())
    step = r.numRows;
  std::vector<float> block(static_cast<size_t>(step * r.numCols)), matrix;
  std::vector<int8_t> values(block.size()), steps(block.size());
  std::vector<float> scales(block.size() / length), mine(k), theirs(k);
  QuantizedMatrix own = target;
  own.values = values.data();
  own.scales = scales.data();
  own.steps = target.steps ? steps.data() : nullptr;
  for (int64_t row = 0; row < r.numRows; row += step) {
    int64_t last = std::min(r.numRows, row + step);
    QRT_RETURN_IF_ERROR(readRows(alias, row, last, block.data()));
    const float *rows = block.data();
    if (!r.isPlain()) {
      matrix.resize(static_cast<size_t>(total));
      r.scatter(row, last, block.data(), r.numCols, matrix.data());
      rows = matrix.data();
    }
    int64_t first = row * r.numCols / length;
    int64_t count = (last - row) * r.numCols / length;
    int64_t held = alias.offset / length; // the target's first row
    quantizeRows(rows, 0, count, own);
    for (int64_t i = 0; i < count; ++i) {
      dequantizeRow(target, held + first + i, mine.data());
      dequantizeRow(own, i, theirs.data());
      QRT_RETURN_IF_ERROR(
          compareValues(alias, (first + i) * length + target.firstColumn,
                        mine.data(), theirs.data(), static_cast<size_t>(k)));
    }
  }
  return Status::success();
}

Status Loader::compareAlias(const Load &whole) const {
  ParameterTarget target =
      sets[whole.set].targets(whole.parameter, whole.layer);
  for (const Load &alias : partsOf(whole, target))
    QRT_RETURN_IF_ERROR(comparePart(alias, target));
  return Status::success();
}

Status Loader::comparePart(const Load &alias,
                           const ParameterTarget &target) const {
  const ViewRegion &r = alias.region;
  if (target.isQuantized())
    return compareQuantized(alias, target.quantized);
  bool rounded = target.dtype == DType::BF16;
  int64_t step = std::max<int64_t>(1, bufferElements / r.numCols);
  std::vector<float> mine(static_cast<size_t>(step * r.numCols)), theirs = mine;
  for (int64_t row = 0; row < r.numRows; row += step) {
    int64_t end = std::min(r.numRows, row + step);
    for (int64_t i = row; i < end; ++i)
      QRT_RETURN_IF_ERROR(source.readF32(
          *alias.tensor, (r.firstRow + i) * r.fileCols + r.firstCol, r.numCols,
          theirs.data() + (i - row) * r.numCols));
    size_t count = static_cast<size_t>((end - row) * r.numCols);
    if (rounded) {
      r.gather(row, end,
               static_cast<const uint16_t *>(target.data) + alias.offset,
               mine.data(), r.numCols);
      for (size_t i = 0; i < count; ++i)
        theirs[i] = bf16ToF32(f32ToBf16(theirs[i]));
    } else {
      r.gather(row, end, static_cast<const float *>(target.data) + alias.offset,
               mine.data(), r.numCols);
    }
    QRT_RETURN_IF_ERROR(compareValues(alias, row * r.numCols, mine.data(),
                                      theirs.data(), count));
  }
  return Status::success();
}

Status Loader::compareAliases() const {
  return runTasks(parallel, aliases.size(),
                  [&](size_t i) { return compareAlias(aliases[i]); });
}

/// One parameter's part of a file tensor that is written.
struct Piece {
  size_t parameter;
  int64_t layer;
  ViewRegion region;
};

struct FileTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<Piece> pieces;
};

/// Groups the canonical views by file tensor and checks that the pieces of each
/// cover it exactly once.
Expected<std::vector<FileTensor>>
planFileTensors(const std::vector<ParameterInfo> &parameters,
                const std::string &format) {
  std::vector<FileTensor> tensors;
  std::map<std::string, size_t> byName;
  int64_t maxLayers = 1;
  for (const ParameterInfo &p : parameters)
    maxLayers = std::max(maxLayers, p.layerCount());
  // Layer by layer, as checkpoints are usually ordered.
  for (int64_t layer = 0; layer < maxLayers; ++layer)
    for (size_t i = 0; i < parameters.size(); ++i) {
      const ParameterInfo &p = parameters[i];
      if (layer >= p.layerCount())
        continue;
      const FileView *canonical = nullptr;
      if (auto views = p.views.find(format); views != p.views.end())
        for (const FileView &view : views->second)
          if (!view.alias && !canonical)
            canonical = &view;
      if (!canonical)
        return makeError(3024, "",
                         "the model does not say how parameter '{}' lies in "
                         "files of format '{}'",
                         p.name, format);
      QRT_ASSIGN_OR_RETURN(ViewRegion region, ViewRegion::make(p, *canonical));
      std::string name = canonical->nameOfLayer(layer);
      auto [it, isNew] = byName.emplace(name, tensors.size());
      if (isNew)
        tensors.push_back({name, canonical->fileShape, {}});
      FileTensor &tensor = tensors[it->second];
      if (tensor.shape != canonical->fileShape)
        return makeError(3024, "", "tensor '{}' has two shapes, {} and {}",
                         name, shapeText(tensor.shape),
                         shapeText(canonical->fileShape));
      tensor.pieces.push_back({i, layer, region});
    }
  for (FileTensor &tensor : tensors) {
    std::vector<Piece> &pieces = tensor.pieces;
    std::sort(pieces.begin(), pieces.end(), [](const Piece &a, const Piece &b) {
      return std::pair(a.region.firstRow, a.region.firstCol) <
             std::pair(b.region.firstRow, b.region.firstCol);
    });
    int64_t row = 0, col = 0;
    bool good = true;
    for (const Piece &piece : pieces) {
      const ViewRegion &r = piece.region;
      // Slices of one tensor are all along the same axis.
      if (r.numCols == r.fileCols) {
        good &= r.firstRow == row;
        row = r.firstRow + r.numRows;
      } else {
        good &= r.firstCol == col;
        col = r.firstCol + r.numCols;
      }
    }
    const ViewRegion &first = pieces.front().region;
    good &= (row == first.fileRows && col == 0) ||
            (row == 0 && col == first.fileCols);
    if (!good)
      return makeError(3024, "",
                       "the parts of tensor '{}' {} overlap or leave a gap",
                       tensor.name, shapeText(tensor.shape));
  }
  return tensors;
}

} // namespace

/// Targets that are all f32.
static ParameterTargets wideTargets(const ParameterPointer &data) {
  return [data](size_t parameter, int64_t layer) {
    return ParameterTarget{data(parameter, layer), DType::F32};
  };
}

Status loadTargetSets(const WeightSource &source,
                      const std::vector<ParameterInfo> &parameters,
                      const std::vector<TargetSet> &sets,
                      const ParallelTasks &parallel) {
  return Loader(source, parameters, sets, parallel).run();
}

Status loadParameterSets(const WeightSource &source,
                         const std::vector<ParameterInfo> &parameters,
                         const std::vector<ParameterSet> &sets,
                         const ParallelTasks &parallel) {
  std::vector<TargetSet> targets;
  for (const ParameterSet &set : sets)
    targets.push_back({set.prefix, wideTargets(set.data)});
  return loadTargetSets(source, parameters, targets, parallel);
}

Status loadParameters(const WeightSource &source,
                      const std::vector<ParameterInfo> &parameters,
                      const ParameterPointer &data,
                      const ParallelTasks &parallel) {
  return loadParametersAs(source, parameters, wideTargets(data), parallel);
}

Status loadParametersAs(const WeightSource &source,
                        const std::vector<ParameterInfo> &parameters,
                        const ParameterTargets &targets,
                        const ParallelTasks &parallel) {
  return loadTargetSets(source, parameters, {{"", targets}}, parallel);
}

Expected<std::vector<OutputTensor>>
parameterTensors(const std::vector<ParameterInfo> &parameters,
                 const ConstParameterPointer &data, const std::string &prefix,
                 const std::string &format) {
  QRT_ASSIGN_OR_RETURN(auto plan, planFileTensors(parameters, format));
  std::vector<OutputTensor> outputs;
  for (FileTensor &tensor : plan) {
    // A tensor of which only a part has values is filled up with zeros.
    std::vector<Piece> pieces;
    for (const Piece &piece : tensor.pieces)
      if (hasValues(parameters[piece.parameter], prefix))
        pieces.push_back(piece);
    if (pieces.empty())
      continue;
    bool hasGaps = pieces.size() < tensor.pieces.size();
    OutputTensor output;
    output.name = prefix + tensor.name;
    output.dtype = "F32";
    output.shape = tensor.shape;
    output.produce = [pieces = std::move(pieces), hasGaps,
                      data](int64_t begin, int64_t end, void *to) -> Status {
      auto *rows = static_cast<float *>(to);
      if (hasGaps)
        std::fill_n(rows, (end - begin) * pieces[0].region.fileCols, 0.0f);
      for (const Piece &piece : pieces) {
        const ViewRegion &r = piece.region;
        int64_t from = std::max(begin, r.firstRow);
        int64_t last = std::min(end, r.firstRow + r.numRows);
        if (from >= last)
          continue;
        QRT_ASSIGN_OR_RETURN(const float *matrix,
                             data(piece.parameter, piece.layer));
        r.gather(from - r.firstRow, last - r.firstRow, matrix,
                 rows + (from - begin) * r.fileCols + r.firstCol, r.fileCols);
      }
      return Status::success();
    };
    outputs.push_back(std::move(output));
  }
  return outputs;
}

} // namespace qrt
