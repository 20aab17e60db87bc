# How this project's own programs are compiled; users of the library inherit none of it.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12
   OR CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  message(FATAL_ERROR "tinynet needs GCC 12 or Clang 14, this is ${CMAKE_CXX_COMPILER_ID} "
                      "${CMAKE_CXX_COMPILER_VERSION}; choose another by -DCMAKE_CXX_COMPILER=g++-12")
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(tinynet_warnings INTERFACE)
target_compile_options(tinynet_warnings INTERFACE -Wall -Wextra -Wshadow
                       # GCC 12 sees overlapping copies in std::string's operator+ (GCC bug 105651)
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)

set(arch_flag $<$<BOOL:${TINYNET_ARCH}>:-march=${TINYNET_ARCH}>)

# Adds a program of the given sources that uses the library with everything this machine offers.
function(tinynet_program name)
  add_executable(${name} ${ARGN})
  tinynet_use(${name})
endfunction()

# The same for sources that several programs share, compiled once.
function(tinynet_objects name)
  add_library(${name} OBJECT ${ARGN})
  tinynet_use(${name})
endfunction()

function(tinynet_use name)
  target_compile_options(${name} PRIVATE ${arch_flag})
  target_link_libraries(${name} PRIVATE tinynet::tinynet tinynet_warnings)
  foreach(part gzip eigen image)
    if(TARGET tinynet::${part})
      target_link_libraries(${name} PRIVATE tinynet::${part})
    endif()
  endforeach()
endfunction()
