# `cmake --install build/release --prefix P` puts the headers under P/include and the package that
# `find_package(tinynet)` reads under P/share/cmake/tinynet.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/tinynet)
get_property(targets GLOBAL PROPERTY tinynet_targets)
install(TARGETS ${targets} EXPORT tinynetTargets)
install(EXPORT tinynetTargets NAMESPACE tinynet:: DESTINATION ${package_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/tinynet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")
write_basic_package_version_file(tinynetConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES cmake/tinynetConfig.cmake cmake/dependencies.cmake cmake/stb.cpp
              ${CMAKE_CURRENT_BINARY_DIR}/tinynetConfigVersion.cmake
        DESTINATION ${package_dir})
