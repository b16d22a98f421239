# Helpers shared by all folders.

find_package(fmt REQUIRED)

set(QWEN_WARNINGS -Wall -Wextra -Wno-unused-parameter -Werror=return-type)

if(QWEN_SANITIZE)
  add_compile_options(-fsanitize=${QWEN_SANITIZE} -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${QWEN_SANITIZE})
  # Calls of functions that are found by name, or compiled by us, which do not
  # carry the types that this check reads before them.
  add_compile_options(-fno-sanitize=function)
endif()

# qwen_add_runtime_library(NAME SOURCES... LINK LIBS...)
# One static library for one folder of the runtime. Exceptions stay on inside
# (libraries throw) but never cross a folder's public functions.
function(qwen_add_runtime_library name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_compile_options(${name} PRIVATE ${QWEN_WARNINGS})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# qwen_add_unit_test(NAME SOURCES... LINK LIBS...): one GoogleTest binary in
# bin/tests, run by lit.
function(qwen_add_unit_test name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_compile_options(${name} PRIVATE ${QWEN_WARNINGS})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest GTest::gtest_main)
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tests)
endfunction()
