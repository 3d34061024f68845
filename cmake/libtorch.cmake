# penjing_find_libtorch(): LibTorch 1.13 or newer: the system's, or the one that CMAKE_PREFIX_PATH or Torch_DIR name. Sets
#   TORCH_LIBRARIES           what links it
#   PENJING_LIBTORCH_OPENMP   the OpenMP library that it shares
#   PENJING_BEFORE_LIBTORCH   a folder of headers that must be found before its own, or not set
#   PENJING_GLOO              ON when the headers of its Gloo lie beside it: others, of another version, would compile and
#                             crash

# penjing_libtorch_config(OUT): the TorchConfig.cmake of a named LibTorch, else "".
function(penjing_libtorch_config out)
  set(${out} "" PARENT_SCOPE)
  string(REPLACE ":" ";" environment "$ENV{CMAKE_PREFIX_PATH}")
  foreach(prefix IN LISTS Torch_DIR Torch_ROOT CMAKE_PREFIX_PATH environment)
    foreach(suffix "" /Torch /cmake/Torch /share/cmake/Torch)
      if(EXISTS ${prefix}${suffix}/TorchConfig.cmake)
        set(${out} ${prefix}${suffix}/TorchConfig.cmake PARENT_SCOPE)
        return()
      endif()
    endforeach()
  endforeach()
endfunction()

# penjing_libtorch_wheel(ROOT): a LibTorch for CUDA, whose own configuration stops where there is no CUDA toolkit (PyPI's
# wheel on x86-64), by its libraries alone. They find the CUDA runtime that they are linked with (the nvidia-* packages
# that pip installs with it) by their own RPATH. Nothing of ours calls those for CUDA, which register themselves when they
# are loaded: so that they are, they are linked needed or not; unless one of the libraries that they want is missing.
macro(penjing_libtorch_wheel root)
  add_library(penjing_libtorch_wheel INTERFACE)
  target_include_directories(penjing_libtorch_wheel SYSTEM INTERFACE
    ${root}/include ${root}/include/torch/csrc/api/include)
  target_link_libraries(penjing_libtorch_wheel INTERFACE ${root}/lib/libtorch_cpu.so ${root}/lib/libc10.so)
  execute_process(COMMAND ldd ${root}/lib/libtorch_cuda.so OUTPUT_VARIABLE wanted ERROR_VARIABLE wanted)
  string(REGEX MATCHALL "[^ \t\n]+ => not found" missing "${wanted}")
  if(missing)
    message(STATUS "LibTorch in ${root}: for CUDA, but without ${missing}: its CPU libraries alone")
  else()
    message(STATUS "LibTorch in ${root}: for CUDA, with the runtime beside it")
    target_link_libraries(penjing_libtorch_wheel INTERFACE
      "-Wl,--push-state,--no-as-needed,${root}/lib/libtorch_cuda.so,${root}/lib/libc10_cuda.so,--pop-state")
  endif()
  set(TORCH_LIBRARIES penjing_libtorch_wheel)
  set(TORCH_INCLUDE_DIRS ${root}/include)
endmacro()

macro(penjing_find_libtorch)
  penjing_libtorch_config(config)
  if(config)
    file(STRINGS ${config} old_abi REGEX "_GLIBCXX_USE_CXX11_ABI=0")
    if(old_abi)
      message(FATAL_ERROR "${config}: this LibTorch has the C++ library's ABI of before GCC 5 "
        "(_GLIBCXX_USE_CXX11_ABI=0), which fits no other library here; wanted one with the present ABI "
        "(PyPI's torch since 2.7, or the download named cxx11-abi)")
    endif()
    get_filename_component(root ${config}/../../../.. ABSOLUTE)
    find_package(CUDAToolkit QUIET)
  endif()
  if(config AND EXISTS ${root}/lib/libtorch_cuda.so AND NOT CUDAToolkit_FOUND)
    penjing_libtorch_wheel(${root})
  else()
    find_package(Torch 1.13 REQUIRED)
  endif()
  # at::parallel_for is a template: compiled without OpenMP it runs on one thread. One OpenMP library a process: that
  # which LibTorch brings, where it brings one.
  find_package(OpenMP REQUIRED)
  set(PENJING_LIBTORCH_OPENMP OpenMP::OpenMP_CXX)
  if(config AND EXISTS ${root}/lib/libgomp.so.1)
    add_library(penjing_libtorch_openmp INTERFACE)
    target_compile_options(penjing_libtorch_openmp INTERFACE ${OpenMP_CXX_FLAGS})
    target_link_libraries(penjing_libtorch_openmp INTERFACE ${root}/lib/libgomp.so.1)
    set(PENJING_LIBTORCH_OPENMP penjing_libtorch_openmp)
  endif()
  foreach(folder IN LISTS TORCH_INCLUDE_DIRS)
    if(EXISTS ${folder}/gloo/transport/device.h)
      set(PENJING_GLOO ON)
    endif()
    # Its own {fmt} is of another version than the library that everything else is linked with, whose headers must be
    # found first.
    get_target_property(fmt_folder fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
    file(REAL_PATH "${folder}" real)
    file(REAL_PATH "${fmt_folder}" real_fmt)
    if(EXISTS ${folder}/fmt AND NOT real STREQUAL real_fmt)
      set(PENJING_BEFORE_LIBTORCH ${PROJECT_BINARY_DIR}/headers_before_libtorch)
      file(MAKE_DIRECTORY ${PENJING_BEFORE_LIBTORCH})
      file(CREATE_LINK ${fmt_folder}/fmt ${PENJING_BEFORE_LIBTORCH}/fmt SYMBOLIC)
    endif()
  endforeach()
endmacro()
