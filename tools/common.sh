# common.sh - What tools/build, tools/demo and tools/check share. Sourced.
#
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Debian packages, one purpose a line.
required_packages=(
  libmlir-22-dev mlir-22-tools llvm-22-dev llvm-22-tools # the compiler's base
  clang-22 lld-22 liblld-22-dev                          # builds us, links model.so
  libyaml-cpp-dev                                        # model files
  libfmt-dev libcli11-dev nlohmann-json3-dev             # both sides
  libpcre2-dev libutf8proc-dev libxxhash-dev zlib1g-dev  # the runtime
  libzstd-dev                                            # LLVM's CMake files
  libopenmpi-dev openmpi-bin                             # the plugin for MPI
  cmake ninja-build ccache git                           # the build
  libgtest-dev python3 python3-psutil                    # the tests
  clang-format-22 libclang-rt-22-dev                     # lint, sanitizers, fuzzers
)

say() { printf '%s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
usage_error() {
  printf 'error: %s\n' "$*" >&2
  printf "run '%s --help' for the options\n" "$0" >&2
  exit 2
}

# Prints those of the given packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      printf '%s\n' "$package"
  done
}

# Installs what is missing of the required packages: as root, or through a sudo
# that asks nothing (or may ask on a terminal). Otherwise says what to install.
install_packages() {
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
    say "note: not a Debian system, so nothing is installed; needed (Debian's names): ${required_packages[*]}" >&2
    return
  }
  local missing as_root=()
  mapfile -t missing < <(missing_packages "${required_packages[@]}")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
      as_root=(sudo)
    else
      die "packages are missing and this user may not install them; run as root: apt-get install ${missing[*]}"
    fi
  fi
  say "installing: ${missing[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null ||
    say "warning: apt-get update failed; going on with the package lists as they are" >&2
  # One clear message, naming what cannot be had, before anything is fetched.
  local package policy unknown=()
  for package in "${missing[@]}"; do
    policy=$(apt-cache policy "$package" 2>/dev/null) || policy=
    [[ $policy == *"Candidate: "[^\(]* ]] || unknown+=("$package")
  done
  if [ ${#unknown[@]} -gt 0 ]; then
    die "the configured package sources do not have: ${unknown[*]}
LLVM 22 is part of Debian 12's security suite: add 'bookworm-security main' to
the sources (see /etc/apt/sources.list and /etc/apt/sources.list.d), then try again"
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${missing[@]}" </dev/null >/dev/null ||
    die "apt-get install failed for: ${missing[*]}"
}

# Parallel jobs that fit: one a core, and 1.5 GB of memory for each.
default_jobs() {
  local cores memory_kb by_memory
  cores=$(nproc)
  memory_kb=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  by_memory=$((memory_kb / 1500000))
  [ "$by_memory" -ge 1 ] || by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}
