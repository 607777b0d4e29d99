# SPDX-License-Identifier: MIT
# What `cmake --install` gives: programs, headers, libraries, pkg-config files and the CMake package sandd.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(SANDD_EXPORTED "")
foreach(part gen proto server)
  if(TARGET sandd-${part})
    list(APPEND SANDD_EXPORTED sandd-${part})
    set_target_properties(sandd-${part} PROPERTIES EXPORT_NAME ${part})
    # Our own warnings are nobody else's business.
    get_target_property(links sandd-${part} INTERFACE_LINK_LIBRARIES)
    if(links)
      list(REMOVE_ITEM links "$<LINK_ONLY:sandd-options>")
      set_target_properties(sandd-${part} PROPERTIES INTERFACE_LINK_LIBRARIES "${links}")
    endif()
  endif()
endforeach()

install(TARGETS ${SANDD_EXPORTED} EXPORT sandd
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET sandd)
  install(TARGETS sandd RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

foreach(folder server/include libsandd-proto/include)
  if(EXISTS ${PROJECT_SOURCE_DIR}/${folder})
    install(DIRECTORY ${folder}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
  endif()
endforeach()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(SANDD_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/sandd)
install(EXPORT sandd NAMESPACE sandd:: FILE sandd-targets.cmake DESTINATION ${SANDD_CMAKE_DIR})
configure_package_config_file(cmake/sandd-config.cmake.in ${PROJECT_BINARY_DIR}/sandd-config.cmake
  INSTALL_DESTINATION ${SANDD_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sandd-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sandd-config.cmake ${PROJECT_BINARY_DIR}/sandd-config-version.cmake
  DESTINATION ${SANDD_CMAKE_DIR})

# Found from where the .pc file lies, so that `cmake --install --prefix` may put everything anywhere.
file(RELATIVE_PATH SANDD_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" SANDD_PC_UP "${SANDD_PC_UP}")
foreach(part proto server)
  if(TARGET sandd-${part})
    configure_file(cmake/sandd-${part}.pc.in ${PROJECT_BINARY_DIR}/sandd-${part}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/sandd-${part}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  endif()
endforeach()
