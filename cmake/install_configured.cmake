# Installs one unit or manual page with the paths of the prefix that things are installed to, as a
# part of `cmake --install`. Given: file, with names in it; to, bin and doc, below the prefix; and for
# a manual page gzip, the program.

cmake_policy(PUSH)
cmake_policy(VERSION 3.22)
get_filename_component(prefix "${CMAKE_INSTALL_PREFIX}" ABSOLUTE)
foreach(place bin doc)
    if(NOT IS_ABSOLUTE "${${place}}")
        set(${place} "${prefix}/${${place}}")
    endif()
    if(NOT gzip)
        # systemd expands %, and divides at spaces what is not quoted or escaped.
        string(REPLACE "%" "%%" ${place} "${${place}}")
        string(REPLACE " " "\\x20" ${place} "${${place}}")
    endif()
endforeach()
set(MUXSOCKS_BIN "${bin}")
set(MUXSOCKS_DOC "${doc}")
get_filename_component(name "${file}" NAME)
get_filename_component(folder "${file}" DIRECTORY)
set(installed "${folder}/installed/${name}")
configure_file("${file}" "${installed}" @ONLY)
if(gzip)
    # Without a time stamp.
    execute_process(COMMAND "${gzip}" -9nfk "${installed}" COMMAND_ERROR_IS_FATAL ANY)
    string(APPEND installed .gz)
endif()
file(INSTALL DESTINATION "${prefix}/${to}" TYPE FILE FILES "${installed}")
cmake_policy(POP)
