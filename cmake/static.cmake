# Programs that need no library of the system that they run on (MUXSOCKS_STATIC): all are linked as
# archives. scripts/package --portable makes such programs where all archives are to be had.

if(NOT MUXSOCKS_STATIC)
    return()
endif()

set(MUXSOCKS_PORTABLE ON)
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
set(OPENSSL_USE_STATIC_LIBS ON)
# Nothing that would load another library at run time: the library that it finds has been built for
# another C library.
target_compile_definitions(muxsocks_options INTERFACE MUXSOCKS_STATIC)
