# Toolchain file: Linux on 64-bit ARM, built on another machine (scripts/aarch64.sh, docs/platforms.md).
#   cmake --preset release -B FOLDER -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake -DPENJING_AARCH64_LIBRARIES=ROOT
# ROOT is a folder with the ARM form of the libraries (ROOT/usr/include, ROOT/usr/lib/aarch64-linux-gnu) and its C
# library, which the emulator loads.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

# The C library's headers are the compiler's own (libc6-dev-arm64-cross): ROOT has none and is no CMAKE_SYSROOT.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PENJING_AARCH64_LIBRARIES)
set(CMAKE_FIND_ROOT_PATH ${PENJING_AARCH64_LIBRARIES})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# OpenSSL keeps the part of its headers that depends on the processor there.
set(CMAKE_CXX_FLAGS_INIT "-isystem ${PENJING_AARCH64_LIBRARIES}/usr/include/aarch64-linux-gnu")

# Runs the test programs: ctest puts it before each.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-L;${PENJING_AARCH64_LIBRARIES})
