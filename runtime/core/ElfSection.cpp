//===- ElfSection.cpp - Reads one section of an ELF file ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The file is untrusted: every offset is checked against its size before use,
// and nothing is ever executed or mapped by the dynamic loader.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Manifest.h"

#include <cstring>
#include <elf.h>

using namespace qrt;

namespace {

/// Copies a T out of the file: offsets need not be aligned.
template <typename T>
bool readAt(std::string_view file, uint64_t offset, T &value) {
  if (offset > file.size() || file.size() - offset < sizeof(T))
    return false;
  std::memcpy(&value, file.data() + offset, sizeof(T));
  return true;
}

bool isInside(std::string_view file, uint64_t offset, uint64_t size) {
  return offset <= file.size() && size <= file.size() - offset;
}

} // namespace

Status qrt::checkElfSegments(std::string_view file, const std::string &where) {
  Elf64_Ehdr header;
  if (!readAt(file, 0, header) || header.e_phentsize != sizeof(Elf64_Phdr) ||
      !isInside(file, header.e_phoff,
                uint64_t(header.e_phnum) * sizeof(Elf64_Phdr)))
    return makeError(6010, where,
                     "damaged module: the table of segments lies outside the "
                     "file");
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, file.data() + header.e_phoff + i * sizeof(segment),
                sizeof(segment));
    if (segment.p_type == PT_LOAD &&
        !isInside(file, segment.p_offset, segment.p_filesz))
      return makeError(6010, where,
                       "damaged module: a segment lies outside the file (is it "
                       "cut off?)");
  }
  return Status::success();
}

Expected<std::string_view> qrt::findElfSection(std::string_view file,
                                               std::string_view section,
                                               const std::string &where) {
  Elf64_Ehdr header;
  if (file.size() < SELFMAG || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0)
    return makeError(6010, where, "not a module: the file is not ELF");
  if (!readAt(file, 0, header))
    return makeError(6010, where, "not a module: the ELF header is cut off");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64)
    return makeError(6010, where,
                     "not a module for this machine: not a little-endian "
                     "x86-64 ELF file");
  if (header.e_type != ET_DYN)
    return makeError(6010, where,
                     "not a module: ELF type {} is not a shared object",
                     header.e_type);
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0)
    return makeError(6010, where, "not a module: it has no section table");
  uint64_t tableBytes = uint64_t(header.e_shnum) * sizeof(Elf64_Shdr);
  if (!isInside(file, header.e_shoff, tableBytes))
    return makeError(6010, where,
                     "damaged module: the section table lies outside the file");
  auto sectionAt = [&](uint64_t index) {
    Elf64_Shdr result;
    std::memcpy(&result,
                file.data() + header.e_shoff + index * sizeof(Elf64_Shdr),
                sizeof(result));
    return result;
  };
  if (header.e_shstrndx >= header.e_shnum)
    return makeError(6010, where, "damaged module: no table of section names");
  Elf64_Shdr names = sectionAt(header.e_shstrndx);
  if (names.sh_type == SHT_NOBITS ||
      !isInside(file, names.sh_offset, names.sh_size))
    return makeError(6010, where,
                     "damaged module: the section names lie outside the file");
  std::string_view nameTable = file.substr(names.sh_offset, names.sh_size);
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr candidate = sectionAt(i);
    if (candidate.sh_name >= nameTable.size())
      continue;
    std::string_view name = nameTable.substr(candidate.sh_name);
    size_t end = name.find('\0');
    if (end == std::string_view::npos || name.substr(0, end) != section)
      continue;
    if (candidate.sh_type == SHT_NOBITS ||
        !isInside(file, candidate.sh_offset, candidate.sh_size))
      return makeError(6010, where,
                       "damaged module: section {} lies outside the file",
                       section);
    return file.substr(candidate.sh_offset, candidate.sh_size);
  }
  return makeError(6010, where, "not a module of qwenc: it has no section {}",
                   section);
}
