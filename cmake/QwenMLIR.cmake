# Debian's LLVM/MLIR 22 as shared libraries. `find_package(MLIR 22)` is
# rejected by the package's version file: the minor version must be named.
find_package(MLIR 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/mlir)
find_package(LLVM 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/llvm)
list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
add_definitions(${LLVM_DEFINITIONS})

# LLVM is built without RTTI and exceptions. Files that touch yaml-cpp or CLI11
# turn exceptions on for themselves (qwen_enable_exceptions).
set(QWEN_LLVM_FLAGS -fno-rtti -fno-exceptions -Wall -Wextra -Wno-unused-parameter)

# qwen_add_compiler_library(NAME SOURCES... LINK LIBS... DEPENDS TARGETS...)
function(qwen_add_compiler_library name)
  cmake_parse_arguments(ARG "" "" "LINK;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_compile_options(${name} PRIVATE ${QWEN_LLVM_FLAGS})
  target_link_libraries(${name} PUBLIC ${ARG_LINK} MLIR LLVM)
  add_dependencies(${name} QwenDialectHeaders ${ARG_DEPENDS})
endfunction()

# qwen_enable_exceptions(FILES...): for the few files that call a throwing
# library; they convert at once to llvm::Expected.
function(qwen_enable_exceptions)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "-fexceptions;-frtti")
endfunction()
