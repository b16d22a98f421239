//===- SharedObject.cpp - Linking model.so --------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Module/SharedObject.h"

#include <unistd.h>

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Signals.h"

#ifdef QWEN_HAVE_LLD_LIBRARY
#include "lld/Common/Driver.h"
LLD_HAS_DRIVER(elf)
#endif

using namespace llvm;

namespace {
/// Removes its files when it goes out of scope, and when a signal ends the
/// program.
class TemporaryFiles {
public:
  ~TemporaryFiles() {
    for (const std::string &path : paths) {
      sys::fs::remove(path);
      sys::DontRemoveFileOnSignal(path);
    }
  }

  /// A new file with `bytes` in the system's folder for temporary files.
  Expected<std::string> write(ArrayRef<char> bytes) {
    SmallString<128> path;
    int descriptor;
    std::error_code error =
        sys::fs::createTemporaryFile("qwenc", "o", descriptor, path);
    if (!error) {
      add(path);
      raw_fd_ostream stream(descriptor, /*shouldClose=*/true);
      stream.write(bytes.data(), bytes.size());
      stream.close();
      error = stream.error();
      stream.clear_error();
    }
    if (error)
      return createStringError(
          "cannot write a temporary file: " + error.message() + " [Q2902]");
    return path.str().str();
  }

  void add(StringRef path) {
    paths.push_back(path.str());
    sys::RemoveFileOnSignal(path);
  }

private:
  std::vector<std::string> paths;
};
} // namespace

#ifdef QWEN_HAVE_LLD_LIBRARY
static Error runLinker(ArrayRef<std::string> arguments) {
  SmallVector<const char *> argv{"ld.lld"};
  for (const std::string &argument : arguments)
    argv.push_back(argument.c_str());
  std::string output;
  raw_string_ostream stream(output);
  lld::Result result =
      lld::lldMain(argv, stream, stream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0)
    return createStringError("the linker failed: " + StringRef(output).trim() +
                             " [Q2901]");
  return Error::success();
}
#else
static Error runLinker(ArrayRef<std::string> arguments) {
  for (StringRef name : {"ld.lld-22", "ld.lld"}) {
    ErrorOr<std::string> program = sys::findProgramByName(name);
    if (!program)
      continue;
    SmallVector<StringRef> argv{name};
    argv.append(arguments.begin(), arguments.end());
    std::string message;
    int code =
        sys::ExecuteAndWait(*program, argv, std::nullopt, {}, 0, 0, &message);
    if (code != 0)
      return createStringError("the linker failed: " + name + " " + message +
                               " [Q2901]");
    return Error::success();
  }
  return createStringError("no linker found: install lld-22 [Q2901]");
}
#endif

Error qwen::linkSharedObject(ArrayRef<ObjectBytes> objects, StringRef path) {
  if (sys::fs::is_directory(path))
    return createStringError("cannot write " + path.str() +
                             ": it is a folder [Q2902]");
  TemporaryFiles files;
  // In the output's own folder, so that the rename stays in one file system.
  SmallString<128> output(sys::path::parent_path(path));
  sys::path::append(output, "." + sys::path::filename(path).str() + "." +
                                std::to_string(::getpid()) + ".tmp");
  files.add(output);
  std::vector<std::string> arguments = {"-shared",
                                        "-o",
                                        output.str().str(),
                                        "--build-id=none",
                                        "--hash-style=gnu",
                                        "-soname",
                                        "model.so",
                                        "-z",
                                        "noexecstack",
                                        "-z",
                                        "relro",
                                        "-z",
                                        "now",
                                        "--threads=1"};
  for (const ObjectBytes &object : objects) {
    Expected<std::string> file = files.write(object);
    if (!file)
      return file.takeError();
    arguments.push_back(*file);
  }
  if (Error error = runLinker(arguments))
    return error;
  if (std::error_code error = sys::fs::rename(output, path))
    return createStringError("cannot write " + path.str() + ": " +
                             error.message() + " [Q2902]");
  return Error::success();
}

Error qwen::writeModule(std::vector<ObjectBytes> code,
                        ArrayRef<ModuleVariant> variants, StringRef manifest,
                        StringRef path) {
  Expected<ObjectBytes> tables = emitModuleTables(variants, manifest);
  if (!tables)
    return tables.takeError();
  code.push_back(std::move(*tables));
  if (Error error = checkUndefinedSymbols(code))
    return error;
  return linkSharedObject(code, path);
}
