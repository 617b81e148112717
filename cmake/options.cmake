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
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
set(CMAKE_CXX_EXTENSIONS OFF)
