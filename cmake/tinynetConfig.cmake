# find_package(tinynet)                                tinynet::tinynet
# find_package(tinynet COMPONENTS gzip eigen image)    tinynet::gzip, tinynet::eigen, tinynet::image
include("${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/tinynetTargets.cmake")

foreach(component ${tinynet_FIND_COMPONENTS})
  if(TARGET tinynet::${component})
    set(tinynet_${component}_FOUND TRUE)
  elseif(tinynet_FIND_REQUIRED_${component})
    set(tinynet_FOUND FALSE)
    set(tinynet_NOT_FOUND_MESSAGE "tinynet was installed without its part '${component}'")
  endif()
endforeach()
