# Every package that the project builds with, all from the distribution (see scripts/setup).

include(cmake/static.cmake)
find_package(Threads REQUIRED)
if(NOT MUXSOCKS_FUZZ)
    # Else programs built on one release do not start on the next: these change their names in each.
    set(Boost_USE_STATIC_LIBS ${MUXSOCKS_PORTABLE})
    # By Boost's own files where it has them; newer CMakes (CMP0167) have no other way.
    find_package(Boost 1.81 CONFIG QUIET COMPONENTS program_options)
    if(NOT Boost_FOUND)
        find_package(Boost 1.81 REQUIRED COMPONENTS program_options)
    endif()
    find_package(OpenSSL 3 REQUIRED)
    find_package(nlohmann_json 3.10 REQUIRED)
    find_package(spdlog REQUIRED)
    add_library(muxsocks_spdlog INTERFACE)
    if(MUXSOCKS_PORTABLE)
        find_package(fmt REQUIRED)
        target_compile_definitions(muxsocks_spdlog INTERFACE SPDLOG_FMT_EXTERNAL)
        target_link_libraries(muxsocks_spdlog INTERFACE fmt::fmt-header-only Threads::Threads)
    else()
        target_link_libraries(muxsocks_spdlog INTERFACE spdlog::spdlog)
    endif()
    find_package(PkgConfig REQUIRED)
    pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares)
    pkg_check_modules(QRENCODE REQUIRED IMPORTED_TARGET libqrencode)
    if(MUXSOCKS_STATIC)
        # What the archive needs in turn, which CMake's own module does not know.
        pkg_check_modules(CRYPTO REQUIRED libcrypto)
        set_property(TARGET OpenSSL::Crypto APPEND PROPERTY
            INTERFACE_LINK_LIBRARIES ${CRYPTO_STATIC_LIBRARIES})
    endif()
endif()
if(MUXSOCKS_TESTS AND NOT MUXSOCKS_FUZZ)
    # Debian 12 has Catch2 2, Debian 13 has Catch2 3; tests/catch.hpp hides the difference.
    find_package(Catch2 REQUIRED)
endif()
if(MUXSOCKS_BENCHMARKS AND NOT MUXSOCKS_FUZZ)
    # Without it the micro-benchmarks are left out.
    find_package(benchmark QUIET)
endif()
