# What every build that ships is hardened with: releases, packages and images. Not Debug builds, nor
# those with sanitizers, which find the same with more words. tests/system/support/hardening.py says
# what must come of it.

option(MUXSOCKS_HARDENED "Harden programs against faults of memory, where they are optimised" ON)
if(NOT MUXSOCKS_HARDENED OR MUXSOCKS_SANITIZE OR NOT CMAKE_BUILD_TYPE MATCHES "^(Release|RelWithDebInfo|MinSizeRel)$")
    return()
endif()

include(CheckCXXCompilerFlag)
include(CheckCXXSourceCompiles)

# Whatever the compiler's own default: programs that are loaded anywhere, with stacks that are watched.
# (-fPIE and not CMake's -fPIC, which would cost: nothing here becomes a library of its own, but for
# what a test preloads.)
set(not_preloaded "$<NOT:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,MODULE_LIBRARY>>")
target_compile_options(muxsocks_options INTERFACE $<${not_preloaded}:-fPIE>)
if(MUXSOCKS_STATIC)
    set(pie -static-pie)
else()
    set(pie -pie)
endif()
target_link_options(muxsocks_options INTERFACE $<${not_preloaded}:${pie}>
    LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack LINKER:--as-needed)
# Those of control flow are CET on amd64, BTI and PAC on arm64; each compiler has its own.
foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
        -mbranch-protection=standard)
    string(MAKE_C_IDENTIFIER "MUXSOCKS_HAS${flag}" has)
    check_cxx_compiler_flag(${flag} ${has})
    if(${has})
        target_compile_options(muxsocks_options INTERFACE ${flag})
    endif()
endforeach()

# Level 3 knows more sizes than 2; older libraries warn that they take it for 2.
set(CMAKE_REQUIRED_FLAGS "-O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
check_cxx_source_compiles("#include <string.h>\nint main() { return (int)strlen(\"\"); }" MUXSOCKS_HAS_FORTIFY_3)
unset(CMAKE_REQUIRED_FLAGS)
target_compile_options(muxsocks_options INTERFACE -U_FORTIFY_SOURCE
    -D_FORTIFY_SOURCE=$<IF:$<BOOL:${MUXSOCKS_HAS_FORTIFY_3}>,3,2>)
