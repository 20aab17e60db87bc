# What the library stands on. The source tree and the installed package both read this file, so that
# OpenMP, zlib, Eigen and stb are looked for where a program is compiled, not where tinynet was installed.

# Ends the configuration; where find_package reads this file, tells it that tinynet was not found.
macro(tinynet_give_up)
  if(CMAKE_FIND_PACKAGE_NAME STREQUAL "tinynet")
    set(tinynet_FOUND FALSE)
    string(CONCAT tinynet_NOT_FOUND_MESSAGE ${ARGN})
    return()
  endif()
  message(FATAL_ERROR ${ARGN})
endmacro()

# The package that Debian ships for xsimd 8.1 links an xtl library that does not exist, so tinynet takes
# the headers and nothing else. A project that brings its own xsimd target is served from that one.
if(NOT TARGET tinynet::xsimd)
  if(TARGET xsimd)
    get_target_property(tinynet_xsimd_include xsimd INTERFACE_INCLUDE_DIRECTORIES)
  else()
    find_path(XSIMD_INCLUDE_DIR xsimd/xsimd.hpp)
    if(NOT XSIMD_INCLUDE_DIR)
      tinynet_give_up("tinynet needs xsimd 8.1 or newer and found none.\n"
                      "Debian, Ubuntu: apt-get install libxsimd-dev. "
                      "Elsewhere: set XSIMD_INCLUDE_DIR to the folder that holds xsimd/xsimd.hpp.")
    endif()
    file(STRINGS "${XSIMD_INCLUDE_DIR}/xsimd/config/xsimd_config.hpp" lines
         REGEX "define XSIMD_VERSION_(MAJOR|MINOR) ")
    string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]+([0-9]+).*" "\\1.\\2" tinynet_xsimd_version "${lines}")
    if(tinynet_xsimd_version VERSION_LESS 8.1)
      tinynet_give_up("tinynet needs xsimd 8.1 or newer, and ${XSIMD_INCLUDE_DIR} holds ${tinynet_xsimd_version}. "
                      "Fetch a newer one (headers are enough) and set XSIMD_INCLUDE_DIR to its include folder.")
    endif()
    set(tinynet_xsimd_include "${XSIMD_INCLUDE_DIR}")
  endif()
  add_library(tinynet::xsimd INTERFACE IMPORTED GLOBAL)
  target_include_directories(tinynet::xsimd INTERFACE ${tinynet_xsimd_include})
endif()

find_package(Threads REQUIRED)
find_package(OpenMP QUIET COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  message(STATUS "tinynet: no OpenMP found, everything will run on one thread "
                 "(GCC has it built in; for Clang: apt-get install libomp-dev)")
endif()
find_package(ZLIB QUIET)
find_package(Eigen3 QUIET NO_MODULE)

# stb's headers carry their own code. It is compiled once, into a library of the project that uses it,
# so that tinynet itself stays a package of headers.
find_path(STB_INCLUDE_DIR stb_image_write.h PATH_SUFFIXES stb)
if(STB_INCLUDE_DIR AND NOT TARGET tinynet_stb)
  add_library(tinynet_stb STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/stb.cpp)
  add_library(tinynet::stb ALIAS tinynet_stb)
  target_include_directories(tinynet_stb SYSTEM PUBLIC ${STB_INCLUDE_DIR})
  set_target_properties(tinynet_stb PROPERTIES POSITION_INDEPENDENT_CODE ON)
endif()
