//===- ParametersTest.cpp - Tests of loading and saving parameters --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Parameters.h"
#include "Helpers.h"
#include "runtime/weights/Convert.h"
#include "runtime/weights/Init.h"

#include <gtest/gtest.h>
#include <thread>

using namespace qrt;
using namespace qrt::test;

namespace {

/// Attention of one layer as GPT-2 stores it: q, k and v side by side in one
/// transposed matrix, and their biases in one vector.
std::vector<ParameterInfo> gpt2(int64_t hidden, int64_t layers) {
  std::vector<ParameterInfo> list;
  list.push_back(parameter("wte", "transformer.wte.weight", {11, hidden}));
  FileView head;
  head.name = "lm_head.weight";
  head.fileShape = {11, hidden};
  head.alias = true;
  list[0].views["hf"].push_back(head);
  int64_t begin = 0;
  for (const char *name : {"q", "k", "v"}) {
    ParameterInfo w = parameter(name, "transformer.h.{i}.attn.c_attn.weight",
                                {hidden, hidden}, layers);
    FileView &view = w.views["hf"][0];
    view.fileShape = {hidden, 3 * hidden};
    view.transpose = true;
    view.slice = std::pair(int64_t(1), begin);
    list.push_back(w);
    ParameterInfo b =
        parameter(std::string(name) + "_bias",
                  "transformer.h.{i}.attn.c_attn.bias", {hidden}, layers);
    b.views["hf"][0].fileShape = {3 * hidden};
    b.views["hf"][0].slice = std::pair(int64_t(0), begin);
    list.push_back(b);
    begin += hidden;
  }
  ParameterInfo fc = parameter("fc", "transformer.h.{i}.mlp.c_fc.weight",
                               {4 * hidden, hidden}, layers);
  fc.views["hf"][0].fileShape = {hidden, 4 * hidden};
  fc.views["hf"][0].transpose = true;
  list.push_back(fc);
  return list;
}

std::vector<std::string> linesOf(const std::string &text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at <= text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

Status load(const std::string &w, const std::vector<ParameterInfo> &params,
            Store &store, const ParallelTasks &parallel = {}) {
  auto source = WeightSource::open(w);
  if (!source)
    return source.error();
  return loadParameters(**source, params, store.pointers(), parallel);
}

TEST(Parameters, SlicesAndTransposes) {
  TempDir dir;
  int64_t h = 3;
  auto params = gpt2(h, 2);
  Store store(params), back(params, -1);
  store.fillDistinct();
  auto tensors = parameterTensors(params, store.constPointers());
  ASSERT_TRUE(tensors) << tensors.error().str();
  ASSERT_EQ(tensors->size(), 1u + 2 * 3);
  std::string path = dir / "m.safetensors";
  ASSERT_TRUE(writeSafetensors(path, *tensors, {}));

  // Element by element against the definition.
  auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << file.error().str();
  const auto *t = file->find("transformer.h.1.attn.c_attn.weight");
  ASSERT_TRUE(t);
  ASSERT_EQ(t->shape, (std::vector<int64_t>{h, 3 * h}));
  std::vector<float> all(static_cast<size_t>(3 * h * h));
  ASSERT_TRUE(file->read(*t, 0, t->bytes, all.data()));
  for (int64_t in = 0; in < h; ++in)
    for (int64_t out = 0; out < 3 * h; ++out) {
      size_t which = static_cast<size_t>(1 + 2 * (out / h)); // q, k, v
      EXPECT_EQ(all[static_cast<size_t>(in * 3 * h + out)],
                store.at(which, 1)[(out % h) * h + in]);
    }
  ASSERT_TRUE(load(path, params, back));
  EXPECT_EQ(store, back);
}

TEST(Parameters, AnyThreadsAndSizesGiveTheSame) {
  TempDir dir;
  auto params = gpt2(300, 1); // more than one block of rows
  ParameterInfo big = parameter("big", "big", {3000, 1000});
  big.views["hf"][0].fileShape = {1000, 3000};
  big.views["hf"][0].transpose = true;
  params.push_back(big);
  Store store(params), one(params), two(params);
  store.fillDistinct();
  auto tensors = parameterTensors(params, store.constPointers());
  ASSERT_TRUE(tensors);
  std::string path = dir / "m.safetensors";
  ASSERT_TRUE(writeSafetensors(path, *tensors, {}));
  ASSERT_TRUE(load(path, params, one));
  EXPECT_EQ(store, one);
  ParallelTasks threads = [](int64_t n, const std::function<void(int64_t)> &f) {
    std::thread other([&] {
      for (int64_t i = n - 1; i >= 0; i -= 2)
        f(i);
    });
    for (int64_t i = n - 2; i >= 0; i -= 2)
      f(i);
    other.join();
  };
  ASSERT_TRUE(load(path, params, two, threads));
  EXPECT_EQ(store, two);

  for (ParameterInfo &p : params) {
    p.init.kind = InitInfo::Kind::Normal;
    p.init.std = 1;
  }
  ASSERT_TRUE(load("random:7", params, one));
  ASSERT_TRUE(load("random:7", params, two, threads));
  EXPECT_EQ(one, two);
  EXPECT_FALSE(one == store);
}

TEST(Parameters, RandomValuesBelongToTheFileTensor) {
  // The same model, once with separate matrices and once as GPT-2's slices: the
  // values come from the name and the position in the file's tensor.
  int64_t h = 4;
  auto params = gpt2(h, 2);
  for (ParameterInfo &p : params)
    p.init.kind = InitInfo::Kind::Normal, p.init.std = 0.02;
  Store store(params);
  ASSERT_TRUE(load("random:3", params, store));
  std::vector<float> whole(static_cast<size_t>(3 * h * h));
  initialValues(params[1].init, 3, "transformer.h.1.attn.c_attn.weight", 0,
                whole.size(), whole.data());
  for (int64_t in = 0; in < h; ++in)
    for (int64_t out = 0; out < h; ++out)
      EXPECT_EQ(store.at(3, 1)[out * h + in],
                whole[static_cast<size_t>(in * 3 * h + h + out)]);
}

TEST(Parameters, ListsEverythingThatDoesNotFit) {
  TempDir dir;
  std::vector<float> data(100);
  std::string path = dir / "m.safetensors";
  OutputTensor quantised{"bad.type", "I8", {2}, data.data(), {}};
  ASSERT_TRUE(writeSafetensors(
      path,
      {f32("model.a", {2, 3}, data), f32("surplus", {4}, data),
       f32("model.layers.0.w", {3, 2}, data), quantised,
       f32("h.0.attn.bias", {1, 1, 2, 2}, data),
       f32("h.0.attn.masked_bias", {}, data),
       f32("model.layers.0.self_attn.rotary_emb.inv_freq", {2}, data)},
      {}));
  std::vector<ParameterInfo> params = {
      parameter("a", "model.a", {2, 3}),
      parameter("w", "model.layers.{i}.w", {2, 3}, 2),
      parameter("t", "bad.type", {2})};
  Store store(params, -1), before = store;
  Status status = load(path, params, store);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, 3021);
  EXPECT_EQ(linesOf(status.error().message),
            (std::vector<std::string>{
                "the weights do not fit the model: 1 missing, 1 extra, 1 "
                "misshapen, 1 unreadable dtype (F32, F16 and BF16 are read)",
                "  missing: model.layers.1.w [2, 3]", "  extra: surplus [4]",
                "  misshapen: model.layers.0.w [3, 2], the model has [2, 3]",
                "  unreadable dtype (F32, F16 and BF16 are read): bad.type "
                "I8"}));
  EXPECT_EQ(store, before) << "something was written";
}

TEST(Parameters, SharedTensorsAreReportedOnce) {
  TempDir dir;
  auto params = gpt2(3, 1);
  Store store(params);
  std::vector<float> data(100);
  ASSERT_TRUE(writeSafetensors(dir / "m.safetensors",
                               {f32("transformer.wte.weight", {11, 3}, data)},
                               {}));
  Status status = load(dir / "m.safetensors", params, store);
  ASSERT_FALSE(status);
  EXPECT_EQ(linesOf(status.error().message).size(), 4u)
      << status.error().message;
}

TEST(Parameters, BasePrefixMayBeAbsent) {
  TempDir dir;
  std::vector<float> data = {1, 2, 3, 4};
  for (std::string prefix : {"model.", "transformer."}) {
    std::vector<ParameterInfo> params = {parameter("a", prefix + "a", {4})};
    Store store(params);
    ASSERT_TRUE(
        writeSafetensors(dir / "m.safetensors", {f32("a", {4}, data)}, {}));
    Status status = load(dir / "m.safetensors", params, store);
    EXPECT_TRUE(status) << status.error().str();
    EXPECT_EQ(store.values[0][0], data);
    // Both at once: one of them is too many.
    ASSERT_TRUE(writeSafetensors(
        dir / "m.safetensors",
        {f32("a", {4}, data), f32(prefix + "a", {4}, data)}, {}));
    EXPECT_FALSE(load(dir / "m.safetensors", params, store));
  }
}

TEST(Parameters, OtherSpellingsAreRead) {
  TempDir dir;
  std::vector<float> data = {1, 2, 3, 4};
  std::vector<ParameterInfo> params = {parameter("a", "new.{i}.a", {4}, 1)};
  FileView old = params[0].views["hf"][0];
  old.name = "old.{i}.a";
  params[0].views["hf"].push_back(old);
  Store store(params);
  std::string path = dir / "m.safetensors";
  ASSERT_TRUE(writeSafetensors(path, {f32("old.0.a", {4}, data)}, {}));
  Status status = load(path, params, store);
  EXPECT_TRUE(status) << status.error().str();
  EXPECT_EQ(store.values[0][0], data);
  ASSERT_TRUE(writeSafetensors(
      path, {f32("old.0.a", {4}, data), f32("new.0.a", {4}, data)}, {}));
  EXPECT_FALSE(load(path, params, store));
  ASSERT_TRUE(writeSafetensors(path, {}, {}));
  status = load(path, params, store);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("missing: new.0.a"), std::string::npos);
  auto tensors = parameterTensors(params, store.constPointers(), "grad.");
  ASSERT_TRUE(tensors);
  ASSERT_EQ(tensors->size(), 1u);
  EXPECT_EQ((*tensors)[0].name, "grad.new.0.a");
}

TEST(Parameters, TiedHeadMustEqual) {
  TempDir dir;
  auto params = gpt2(3, 1);
  Store store(params), back(params);
  store.fillDistinct();
  auto tensors = parameterTensors(params, store.constPointers());
  ASSERT_TRUE(tensors);
  std::string path = dir / "m.safetensors";
  std::vector<float> head = store.values[0][0];
  tensors->push_back(f32("lm_head.weight", {11, 3}, head));
  ASSERT_TRUE(writeSafetensors(path, *tensors, {}));
  EXPECT_TRUE(load(path, params, back));
  head[7] += 1;
  ASSERT_TRUE(writeSafetensors(path, *tensors, {}));
  Status status = load(path, params, back);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, 3023);
  EXPECT_NE(status.error().message.find("[2, 1]"), std::string::npos)
      << status.error().message;
  tensors->back().shape = {3, 11};
  ASSERT_TRUE(writeSafetensors(path, *tensors, {}));
  EXPECT_FALSE(load(path, params, back));
}

TEST(Parameters, TiedHeadOfABlock) {
  TempDir dir;
  auto params = gpt2(3, 1);
  Store store(params), back(params);
  store.fillDistinct();
  auto tensors = parameterTensors(params, store.constPointers());
  ASSERT_TRUE(tensors);
  std::string path = dir / "m.safetensors";
  std::vector<float> head = store.values[0][0];
  tensors->push_back(f32("lm_head.weight", {11, 3}, head));
  head[5 * 3 + 2] += 1000;
  ASSERT_TRUE(writeSafetensors(path, *tensors, {}));
  auto source = WeightSource::open(path);
  ASSERT_TRUE(source);
  // Who has rows 0 to 3 does not see the difference; who has 4 to 7 says where
  // in the file it is, quantized or not.
  for (int64_t first : {0, 4})
    for (bool quantized : {false, true}) {
      std::vector<int8_t> values(4 * 3);
      std::vector<float> scales(4);
      Status status =
          loadParametersAs(**source, params, [&](size_t p, int64_t layer) {
            ParameterTarget target;
            target.data = back.values[p][static_cast<size_t>(layer)].data();
            if (p != 0)
              return target;
            target.block = MatrixBlock{first, 4, 0, 3};
            if (quantized)
              target.quantized = {3, values.data(), scales.data()};
            return target;
          });
      EXPECT_EQ(static_cast<bool>(status), first == 0);
      if (!status) {
        EXPECT_NE(status.error().message.find(quantized ? "[5, 0]" : "[5, 2]"),
                  std::string::npos)
            << status.error().message;
      }
    }
}

TEST(Parameters, HalfTypes) {
  TempDir dir;
  std::vector<uint16_t> half = {0x0000, 0x8000, 0x3C00, 0xC000, 0x7BFF,
                                0x0001, 0x03FF, 0x0400, 0x7C00, 0xFC00};
  std::vector<uint16_t> brain = {0x0000, 0x8000, 0x3F80, 0xC000, 0x7F7F,
                                 0x0001, 0x7F80, 0xFF80, 0x4049, 0x0080};
  std::vector<ParameterInfo> params = {parameter("h", "h", {2, 5}),
                                       parameter("b", "b", {10})};
  Store store(params);
  std::string path = dir / "m.safetensors";
  ASSERT_TRUE(writeSafetensors(path,
                               {{"h", "F16", {2, 5}, half.data(), {}},
                                {"b", "BF16", {10}, brain.data(), {}}},
                               {}));
  ASSERT_TRUE(load(path, params, store));
  float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(store.values[0][0],
            (std::vector<float>{0.0f, -0.0f, 1.0f, -2.0f, 65504.0f, 0x1p-24f,
                                1023 * 0x1p-24f, 0x1p-14f, inf, -inf}));
  EXPECT_TRUE(std::signbit(store.values[0][0][1]));
  EXPECT_EQ(store.values[1][0],
            (std::vector<float>{0.0f, -0.0f, 1.0f, -2.0f, 0x1.FEp127f,
                                0x1p-133f, inf, -inf, 3.140625f, 0x1p-126f}));
  auto source = WeightSource::open(path);
  ASSERT_TRUE(source);
  std::vector<uint16_t> back(4);
  ASSERT_TRUE((*source)->readBf16(*(*source)->find("b"), 3, 4, back.data()));
  EXPECT_EQ(back, (std::vector<uint16_t>{0xC000, 0x7F7F, 0x0001, 0x7F80}));
}

TEST(Parameters, RoundedTargets) {
  TempDir dir;
  auto params = gpt2(5, 2);
  for (ParameterInfo &p : params)
    p.init.kind = InitInfo::Kind::Normal, p.init.std = 1;
  Store store(params);
  ASSERT_TRUE(load("random:1", params, store));
  auto tensors = parameterTensors(params, store.constPointers());
  ASSERT_TRUE(tensors);
  // A tied head, equal after rounding only.
  std::vector<float> head = store.values[0][0];
  head[3] = bf16ToF32(f32ToBf16(head[3]));
  tensors->push_back(f32("lm_head.weight", {11, 5}, head));
  std::string path = dir / "m.safetensors";
  ASSERT_TRUE(writeSafetensors(path, *tensors, {}));
  for (const std::string &w : {path, std::string("random:1")}) {
    std::vector<std::vector<std::vector<uint16_t>>> back;
    for (const ParameterInfo &p : params)
      back.emplace_back(
          static_cast<size_t>(p.layerCount()),
          std::vector<uint16_t>(static_cast<size_t>(p.elementsPerLayer())));
    auto source = WeightSource::open(w);
    ASSERT_TRUE(source);
    Status status =
        loadParametersAs(**source, params, [&](size_t p, int64_t layer) {
          return ParameterTarget{back[p][static_cast<size_t>(layer)].data(),
                                 DType::BF16};
        });
    ASSERT_TRUE(status) << status.error().str();
    for (size_t p = 0; p < params.size(); ++p)
      for (size_t layer = 0; layer < back[p].size(); ++layer)
        for (size_t i = 0; i < back[p][layer].size(); ++i)
          ASSERT_EQ(back[p][layer][i], f32ToBf16(store.values[p][layer][i]));
  }
}

TEST(Parameters, ContradictoryViews) {
  std::vector<float> data(64);
  auto wrong = [&](const std::function<void(ParameterInfo &)> &change) {
    auto params = gpt2(3, 1);
    change(params[3]); // k
    Store store(params);
    auto tensors = parameterTensors(params, store.constPointers());
    EXPECT_FALSE(tensors);
    if (!tensors)
      EXPECT_EQ(tensors.error().code, 3024) << tensors.error().str();
  };
  auto view = [](ParameterInfo &p) -> FileView & { return p.views["hf"][0]; };
  wrong([&](ParameterInfo &p) { view(p).slice->second = 4; });
  wrong([&](ParameterInfo &p) { view(p).slice->second = 0; });
  wrong([&](ParameterInfo &p) { view(p).slice->second = 7; });
  wrong([&](ParameterInfo &p) { view(p).slice->second = -1; });
  wrong([&](ParameterInfo &p) { view(p).slice->first = 2; });
  wrong([&](ParameterInfo &p) { view(p).slice->first = 0; });
  wrong([&](ParameterInfo &p) { view(p).slice = std::nullopt; });
  wrong([&](ParameterInfo &p) { view(p).fileShape = {3, 12}; });
  wrong([&](ParameterInfo &p) { view(p).fileShape = {9}; });
  wrong([&](ParameterInfo &p) { view(p).permuteHeads = 2; });
  wrong([&](ParameterInfo &p) { p.views.clear(); });
}

/// Every parameter of a small Llama in both formats.
std::vector<ParameterInfo> llama(int64_t vocab, int64_t hidden, int64_t ffn,
                                 int64_t heads, int64_t kvHeads,
                                 int64_t layers) {
  std::vector<ParameterInfo> list;
  auto add = [&](const char *hf, const char *gguf, std::vector<int64_t> shape,
                 int64_t layerCount, int64_t permute = 0) {
    ParameterInfo p = parameter(gguf, hf, shape, layerCount);
    FileView view = p.views["hf"][0];
    view.name = gguf;
    if (permute)
      view.permuteHeads = permute;
    p.views["gguf"].push_back(view);
    list.push_back(p);
  };
  int64_t kv = hidden / heads * kvHeads;
  add("model.embed_tokens.weight", "token_embd.weight", {vocab, hidden}, 0);
  for (auto [format, name] : {std::pair("hf", "lm_head.weight"),
                              std::pair("gguf", "output.weight")}) {
    FileView head = list[0].views[format][0];
    head.name = name;
    head.alias = true;
    list[0].views[format].push_back(head);
  }
  std::string hf = "model.layers.{i}.", gg = "blk.{i}.";
  auto layer = [&](const char *a, const char *b, std::vector<int64_t> shape,
                   int64_t permute = 0) {
    add((hf + a + ".weight").c_str(), (gg + b + ".weight").c_str(), shape,
        layers, permute);
  };
  layer("input_layernorm", "attn_norm", {hidden});
  layer("self_attn.q_proj", "attn_q", {hidden, hidden}, heads);
  layer("self_attn.k_proj", "attn_k", {kv, hidden}, kvHeads);
  layer("self_attn.v_proj", "attn_v", {kv, hidden});
  layer("self_attn.o_proj", "attn_output", {hidden, hidden});
  layer("post_attention_layernorm", "ffn_norm", {hidden});
  layer("mlp.gate_proj", "ffn_gate", {ffn, hidden});
  layer("mlp.up_proj", "ffn_up", {ffn, hidden});
  layer("mlp.down_proj", "ffn_down", {hidden, ffn});
  add("model.norm.weight", "output_norm.weight", {hidden}, 0);
  return list;
}

TEST(Parameters, OneModelInTwoFormats) {
  std::string shared = sharedData();
  if (shared.empty())
    GTEST_SKIP() << "needs the shared data";
  std::string folder = shared + "/models/stories260K";
  auto params = llama(512, 64, 172, 8, 4, 5);
  Store hf(params, -7), gguf(params, -8);
  for (std::string w : {"", "/model.safetensors"}) {
    Status status = load(folder + w, params, hf);
    ASSERT_TRUE(status) << status.error().str();
  }
  Status status = load(folder + "/stories260K.gguf", params, gguf);
  ASSERT_TRUE(status) << status.error().str();
  EXPECT_EQ(hf, gguf);
  // Without the permutation the two differ: the test sees it.
  for (ParameterInfo &p : params)
    p.views["gguf"][0].permuteHeads = std::nullopt;
  ASSERT_TRUE(load(folder + "/stories260K.gguf", params, gguf));
  EXPECT_FALSE(hf == gguf);
}

TEST(Parameters, SavedWeightsEqualTheOriginalFile) {
  std::string shared = sharedData();
  if (shared.empty())
    GTEST_SKIP() << "needs the shared data";
  std::string folder = shared + "/models/stories260K";
  auto params = llama(512, 64, 172, 8, 4, 5);
  Store store(params), back(params);
  ASSERT_TRUE(load(folder, params, store));
  auto tensors = parameterTensors(params, store.constPointers());
  ASSERT_TRUE(tensors);
  TempDir dir;
  ASSERT_TRUE(writeSafetensors(dir / "m.safetensors", *tensors, {}));
  auto mine = SafetensorsFile::open(dir / "m.safetensors");
  auto theirs = SafetensorsFile::open(folder + "/model.safetensors");
  ASSERT_TRUE(mine);
  ASSERT_TRUE(theirs);
  ASSERT_EQ(mine->tensors().size(), theirs->tensors().size());
  for (const SafetensorsTensor &t : theirs->tensors()) {
    const SafetensorsTensor *m = mine->find(t.name);
    ASSERT_TRUE(m) << t.name;
    ASSERT_EQ(m->shape, t.shape);
    std::string a(t.bytes, 'a'), b(t.bytes, 'b');
    ASSERT_TRUE(mine->read(*m, 0, m->bytes, a.data()));
    ASSERT_TRUE(theirs->read(t, 0, t.bytes, b.data()));
    EXPECT_EQ(a, b) << t.name;
  }
}

} // namespace
