# SPDX-License-Identifier: MIT
# Warnings, definitions and helpers shared by every target of the project.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c>=1.4)

add_library(sandd-options INTERFACE)
target_compile_definitions(sandd-options INTERFACE _GNU_SOURCE)
target_compile_options(sandd-options INTERFACE -Wall -Wextra -Wpointer-arith -Wstrict-prototypes
  -Wmissing-prototypes -Wwrite-strings -Wvla -Wno-missing-field-initializers -fno-strict-aliasing -fno-common -UNDEBUG
  # A parameter may be called as its type is, which a newer GCC would take for shadowing.
  $<$<C_COMPILER_ID:GNU>:-Wshadow=local>
  $<$<BOOL:${SANDD_WERROR}>:-Werror>
  # Ubuntu's compiler does this unasked, with warnings of its own.
  $<$<CONFIG:RelWithDebInfo,Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:RelWithDebInfo,Release>:-D_FORTIFY_SOURCE=2>
  $<$<CONFIG:RelWithDebInfo,Release>:-fstack-protector-strong>)

set(SANDD_TEST_LAUNCHER "" CACHE STRING "What runs each test program, as a list: valgrind and its options")
set(SANDD_TEST_SLOWNESS 1 CACHE STRING "By how much longer tests may take under the launcher or a sanitizer")

# sandd_test(<name> SOURCES a.c b.c LIBS x y): a libcheck program build/bin/<name>, run by ctest under that name.
function(sandd_test name)
  if(NOT BUILD_TESTING)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS" ${ARGN})
  pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check)
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE sandd-options ${ARG_LIBS} PkgConfig::CHECK)
  add_test(NAME ${name} COMMAND ${SANDD_TEST_LAUNCHER} $<TARGET_FILE:${name}>)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${SANDD_TEST_SLOWNESS}")
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT CK_TIMEOUT_MULTIPLIER=${SANDD_TEST_SLOWNESS})
endfunction()
