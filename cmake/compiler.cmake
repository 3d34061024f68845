set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Every target of the project links this: warnings and the arithmetic rules.
add_library(penjing_options INTERFACE)
target_compile_options(penjing_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  # GCC 12 reports these falsely through std::string and std::variant.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # No contraction: an FMA happens only where the source says so, or results would differ between
  # instruction sets (docs/decisions.md, bit-equality).
  -ffp-contract=off)
if(PENJING_WERROR)
  target_compile_options(penjing_options INTERFACE -Werror)
endif()
if(PENJING_SANITIZE)
  target_compile_options(penjing_options INTERFACE -fsanitize=${PENJING_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(penjing_options INTERFACE -fsanitize=${PENJING_SANITIZE})
endif()
if(PENJING_COVERAGE)
  target_compile_options(penjing_options INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(penjing_options INTERFACE --coverage)
endif()
