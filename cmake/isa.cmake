# Instruction set -> compiler flags: the only place that names an -m flag. The stem of a kernel source
# file is its instruction set, and of what codes it takes where that is less than all. GCC 12 has no -march=znver4, so features are named one by one.
set(PENJING_ISA_FLAGS_ref "")
set(PENJING_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(PENJING_ISA_FLAGS_avx2_w7a7 ${PENJING_ISA_FLAGS_avx2})
set(PENJING_ISA_FLAGS_avx2_w7a8 ${PENJING_ISA_FLAGS_avx2})
set(PENJING_ISA_FLAGS_avx_vnni ${PENJING_ISA_FLAGS_avx2} -mavxvnni)
set(PENJING_ISA_FLAGS_avx512 ${PENJING_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq)
set(PENJING_ISA_FLAGS_avx512_vnni ${PENJING_ISA_FLAGS_avx512} -mavx512vnni)
set(PENJING_ISA_FLAGS_avx512_bf16 ${PENJING_ISA_FLAGS_avx512_vnni} -mavx512bf16)
set(PENJING_ISA_FLAGS_amx ${PENJING_ISA_FLAGS_avx512_bf16} -mamx-tile -mamx-int8 -mamx-bf16)

# penjing_kernels(USES module...): every src/kernels/<family>/<isa>.cc gets the flags of its stem.
function(penjing_kernels)
  penjing_module(kernels ${ARGN})
  file(GLOB families CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/*/*.cc)
  foreach(source IN LISTS families)
    get_filename_component(stem ${source} NAME_WE)
    if(NOT DEFINED PENJING_ISA_FLAGS_${stem})
      continue()  # not an instruction set: dispatch.cc of the family
    endif()
    if(NOT stem STREQUAL "ref" AND NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
      get_target_property(sources penjing_kernels SOURCES)
      list(REMOVE_ITEM sources ${source})
      set_target_properties(penjing_kernels PROPERTIES SOURCES "${sources}")
      continue()
    endif()
    # -fno-exceptions keeps landing pads (and their std:: symbols) out of ISA objects. Coverage counters
    # would add exported helpers, sanitizers likewise: both stay off in these files only for `nm` builds.
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${PENJING_ISA_FLAGS_${stem}};-O3")
  endforeach()
endfunction()
