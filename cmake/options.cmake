# The language standard, the warnings and the sanitizers, all on one target that everything links.

add_library(muxsocks_options INTERFACE)
add_library(muxsocks::options ALIAS muxsocks_options)
target_compile_features(muxsocks_options INTERFACE cxx_std_20)
target_include_directories(muxsocks_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(muxsocks_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(MUXSOCKS_WERROR)
    target_compile_options(muxsocks_options INTERFACE -Werror)
endif()
if(MUXSOCKS_SANITIZE)
    target_compile_options(muxsocks_options INTERFACE
        -fsanitize=${MUXSOCKS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(muxsocks_options INTERFACE -fsanitize=${MUXSOCKS_SANITIZE})
    if(MUXSOCKS_SANITIZE MATCHES thread)
        # Fences, which ThreadSanitizer does not understand, are for contexts that several threads
        # run; here each thread has its own.
        target_compile_definitions(muxsocks_options INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
    endif()
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    # It takes no file that includes a precompiled header without these.
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
        CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
        ${CCACHE_PROGRAM})
endif()

# muxsocks_precompile(TARGET HEADERS...): compiles what its sources include from other projects once.
# muxsocks_precompile(TARGET REUSE_FROM OTHER): takes what the other has compiled, with equal flags.
# A unity build reads each header once anyway.
function(muxsocks_precompile target)
    get_target_property(unity ${target} UNITY_BUILD)
    if(NOT unity AND NOT MUXSOCKS_FUZZ)
        if(ARGV1 STREQUAL REUSE_FROM)
            target_precompile_headers(${target} REUSE_FROM ${ARGV2})
        else()
            target_precompile_headers(${target} PRIVATE ${ARGN})
        endif()
    endif()
endfunction()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
set(CMAKE_CXX_EXTENSIONS OFF)

# For what no byte of a stream passes through, and what is compiled at length for it (JSON, options of
# command lines): a quarter of the time to build the programs.
function(muxsocks_compile_fast target)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-O1>)
endfunction()
