//===- Ptxas.cpp - Runs the assembler of the CUDA toolkit -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Module/Ptxas.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace qwen;

std::optional<std::string> qwen::findPtxas() {
  std::vector<std::string> folders;
  for (StringRef variable : {"CUDA_HOME", "CUDA_PATH"})
    if (std::optional<std::string> home = sys::Process::GetEnv(variable))
      folders.push_back(*home + "/bin");
  SmallVector<StringRef> paths(folders.begin(), folders.end());
  if (!paths.empty())
    if (ErrorOr<std::string> found = sys::findProgramByName("ptxas", paths))
      return *found;
  if (ErrorOr<std::string> found = sys::findProgramByName("ptxas"))
    return *found;
  if (ErrorOr<std::string> found =
          sys::findProgramByName("ptxas", {"/usr/local/cuda/bin"}))
    return *found;
  return std::nullopt;
}

namespace {
/// A temporary file that is removed at the end.
struct TemporaryFile {
  SmallString<128> path;
  FileRemover remover;

  Error create(StringRef suffix) {
    std::error_code error = sys::fs::createTemporaryFile("qwenc", suffix, path);
    if (error)
      return createStringError(
          "cannot write a temporary file: " + error.message() + " [Q2902]");
    remover.setFile(path);
    return Error::success();
  }
  Expected<std::string> read() const {
    ErrorOr<std::unique_ptr<MemoryBuffer>> buffer = MemoryBuffer::getFile(path);
    if (!buffer)
      return createStringError("cannot read a temporary file: " +
                               buffer.getError().message() + " [Q2902]");
    return (*buffer)->getBuffer().str();
  }
};
} // namespace

std::vector<PtxasFinding> qwen::readPtxasLog(StringRef log, StringRef arch) {
  std::vector<PtxasFinding> findings;
  StringRef kernel;
  auto add = [&](const Twine &message) {
    findings.push_back({kernel.str(), arch.str(), message.str()});
  };
  for (StringRef line : llvm::split(log, '\n')) {
    // ptxas info    : Compiling entry function 'name' for 'sm_90a'
    // ptxas info    : Function properties for name
    if (auto at = line.find("entry function '"); at != StringRef::npos)
      kernel = line.substr(at).split('\'').second.split('\'').first;
    else if (auto at = line.find("properties for "); at != StringRef::npos)
      kernel = line.substr(at + strlen("properties for ")).trim();
    // 0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
    auto bytes = [&](StringRef what) {
      auto [before, after] = line.split(what);
      unsigned number = 0;
      if (before.size() != line.size())
        before.take_back(before.size() - before.find_last_of(' ') - 1)
            .getAsInteger(10, number);
      return number;
    };
    if (line.contains("bytes stack frame")) {
      unsigned stack = bytes(" bytes stack frame");
      unsigned stores = bytes(" bytes spill stores");
      unsigned loads = bytes(" bytes spill loads");
      if (stores || loads)
        add("registers spill, " + Twine(stores) + " bytes stored and " +
            Twine(loads) + " loaded");
      else if (stack)
        add("it needs a stack of " + Twine(stack) + " bytes");
    }
    // Potential Performance Loss: wgmma.mma_async instructions are serialized
    if (line.contains("Potential Performance Loss")) {
      auto [text, name] = line.split("in the function '");
      if (!name.empty())
        kernel = name.split('\'').first;
      add(line.substr(line.find("Potential")).trim());
    }
  }
  return findings;
}

static Expected<PtxasResult> assemble(StringRef program, StringRef ptx,
                                      StringRef arch, unsigned threads) {
  TemporaryFile input, output, log;
  for (auto [file, suffix] :
       {std::pair<TemporaryFile *, StringRef>{&input, "ptx"},
        {&output, "cubin"},
        {&log, "log"}})
    if (Error error = file->create(suffix))
      return error;
  {
    std::error_code error;
    raw_fd_ostream stream(input.path, error);
    stream << ptx;
    stream.close();
    if (error || stream.has_error()) {
      stream.clear_error();
      return createStringError("cannot write a temporary file [Q2902]");
    }
  }
  std::string archFlag = ("-arch=" + arch).str();
  std::string split = "--split-compile=" + std::to_string(threads);
  SmallVector<StringRef> argv{program, archFlag, "-O3",       "-v",
                              split,   "-o",     output.path, input.path};
  std::string message;
  std::optional<StringRef> redirects[] = {StringRef(), StringRef(log.path),
                                          StringRef(log.path)};
  int code = sys::ExecuteAndWait(program, argv, std::nullopt, redirects, 0, 0,
                                 &message);
  Expected<std::string> text = log.read();
  if (!text)
    return text.takeError();
  if (code != 0)
    return createStringError(program + " refuses the kernels for " + arch +
                             ": " + (message.empty() ? *text : message) +
                             " [Q2402]");
  Expected<std::string> bytes = output.read();
  if (!bytes)
    return bytes.takeError();
  return PtxasResult{std::move(*bytes), readPtxasLog(*text, arch)};
}

std::string qwen::withBlocksAtOnce(StringRef ptx, StringRef kernel,
                                   unsigned blocks) {
  static constexpr StringLiteral directive = ".minnctapersm";
  size_t entry = ptx.find((".entry " + kernel + "(").str());
  size_t body = ptx.find("\n{", entry);
  if (body == StringRef::npos)
    return ptx.str();
  StringRef head = ptx.slice(entry, body);
  auto [before, after] = head.split(("\n" + directive + " ").str());
  std::string text = (ptx.take_front(entry) + before).str();
  if (blocks != 0)
    text += ("\n" + directive + " " + Twine(blocks)).str();
  if (size_t rest = after.find('\n'); rest != StringRef::npos)
    text += after.substr(rest);
  return text + ptx.substr(body).str();
}

Expected<PtxasResult> qwen::runPtxas(StringRef program, StringRef ptx,
                                     StringRef arch, unsigned threads) {
  Expected<PtxasResult> result = assemble(program, ptx, arch, threads);
  std::string text = ptx.str();
  for (unsigned blocks : {0, 1, 2, 4}) {
    if (!result || result->findings.empty())
      break;
    for (const PtxasFinding &finding : result->findings)
      text = withBlocksAtOnce(text, finding.kernel, blocks);
    result = assemble(program, text, arch, threads);
  }
  return result;
}
