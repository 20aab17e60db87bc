# find_package(tinynet)                                tinynet::tinynet
# find_package(tinynet COMPONENTS gzip eigen image)    tinynet::gzip, tinynet::eigen, tinynet::image
include("${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake")
if(NOT TARGET tinynet::xsimd)
  return()  # dependencies.cmake has said why
endif()
include("${CMAKE_CURRENT_LIST_DIR}/tinynetTargets.cmake")

# A part was installed where its library was found; here that may be missing.
set(tinynet_gzip_needs ZLIB::ZLIB)
set(tinynet_eigen_needs Eigen3::Eigen)
set(tinynet_image_needs tinynet::stb)
foreach(component ${tinynet_FIND_COMPONENTS})
  set(needs ${tinynet_${component}_needs})
  if(TARGET tinynet::${component} AND (NOT needs OR TARGET "${needs}"))
    set(tinynet_${component}_FOUND TRUE)
  elseif(tinynet_FIND_REQUIRED_${component})
    set(tinynet_FOUND FALSE)
    set(tinynet_NOT_FOUND_MESSAGE "tinynet was installed without its part '${component}'")
    if(needs)
      string(APPEND tinynet_NOT_FOUND_MESSAGE ", or ${needs} is missing here")
    endif()
  endif()
endforeach()
