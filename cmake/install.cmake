# cmake --install: the program, the library in one piece, its one header, and the files of find_package(penjing).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(modules GLOBAL PROPERTY PENJING_MODULES)
list(REMOVE_ITEM modules ${PENJING_TORCH_MODULES})  # the library is for programs that run models
foreach(module IN LISTS modules ITEMS cli)
  list(APPEND archives $<TARGET_FILE:penjing_${module}>)
endforeach()
# One archive from the modules' archives, so that a user links one file in one order.
set(script ${PROJECT_BINARY_DIR}/merge.mri)
set(merged ${PROJECT_BINARY_DIR}/libpenjing.a)
list(TRANSFORM archives PREPEND "ADDLIB ")
list(JOIN archives "\n" addlibs)
file(GENERATE OUTPUT ${script} CONTENT "CREATE ${merged}\n${addlibs}\nSAVE\nEND\n")
list(TRANSFORM modules PREPEND penjing_)
add_custom_command(OUTPUT ${merged} COMMAND ${CMAKE_COMMAND} -E rm -f ${merged} COMMAND ${CMAKE_AR} -M < ${script}
  DEPENDS ${modules} penjing_cli ${script} COMMENT "Merging libpenjing.a")
add_custom_target(penjing_library ALL DEPENDS ${merged})

install(TARGETS penjing RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(PENJING_TRAIN)
  install(TARGETS penjing-train RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES ${merged} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/penjing/penjing.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/penjing)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/penjing-config.cmake.in
  ${PROJECT_BINARY_DIR}/penjing-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/penjing
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/penjing-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/penjing-config.cmake ${PROJECT_BINARY_DIR}/penjing-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/penjing)
# What `penjing bench --rivals` runs.
install(PROGRAMS ${PROJECT_SOURCE_DIR}/bench/compare_rivals.py ${PROJECT_SOURCE_DIR}/bench/ledger.py
  DESTINATION ${CMAKE_INSTALL_DATADIR}/penjing/bench)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/bench/rivals DESTINATION ${CMAKE_INSTALL_DATADIR}/penjing/bench
  FILES_MATCHING PATTERN "*.py")
