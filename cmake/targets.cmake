# tinynet::tinynet   the library: include folder, C++20, xsimd, threads
# tinynet::gzip      reads .gz data sets (defines TINYNET_ZLIB); exists where zlib was found
# tinynet::eigen     for <tinynet/eigen.hpp>; exists where Eigen was found
# tinynet::image     for <tinynet/io/image.hpp> and what includes it; exists where stb was found
include(GNUInstallDirs)

function(tinynet_add_library name)
  add_library(tinynet_${name} INTERFACE)
  add_library(tinynet::${name} ALIAS tinynet_${name})
  set_target_properties(tinynet_${name} PROPERTIES EXPORT_NAME ${name})
  set_property(GLOBAL APPEND PROPERTY tinynet_targets tinynet_${name})
endfunction()

tinynet_add_library(tinynet)
target_compile_features(tinynet_tinynet INTERFACE cxx_std_20)
target_include_directories(tinynet_tinynet INTERFACE
                           $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(tinynet_tinynet INTERFACE tinynet::xsimd Threads::Threads)
if(OpenMP_CXX_FOUND)
  target_link_libraries(tinynet_tinynet INTERFACE
                        $<BUILD_INTERFACE:OpenMP::OpenMP_CXX>
                        $<INSTALL_INTERFACE:$<TARGET_NAME_IF_EXISTS:OpenMP::OpenMP_CXX>>)
endif()

if(ZLIB_FOUND)
  tinynet_add_library(gzip)
  target_compile_definitions(tinynet_gzip INTERFACE TINYNET_ZLIB)
  target_link_libraries(tinynet_gzip INTERFACE tinynet_tinynet ZLIB::ZLIB)
endif()

if(TARGET Eigen3::Eigen)
  tinynet_add_library(eigen)
  target_link_libraries(tinynet_eigen INTERFACE tinynet_tinynet Eigen3::Eigen)
endif()

if(TARGET tinynet::stb)
  tinynet_add_library(image)
  target_link_libraries(tinynet_image INTERFACE tinynet_tinynet
                        $<BUILD_INTERFACE:tinynet_stb> $<INSTALL_INTERFACE:$<TARGET_NAME_IF_EXISTS:tinynet::stb>>)
endif()
