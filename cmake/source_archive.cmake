# Fills the source archive: CPack runs this for it (CPACK_INSTALL_SCRIPTS). What goes in is what git
# tracks, or, in an unpacked archive, what its MANIFEST names: never what merely lies in the folder.
# The archive gets such a MANIFEST. It is not made where a key, a token or a share link would go in.
#
# Also by hand: cmake -DMUXSOCKS_SOURCE_DIR=TREE -DCPACK_TEMPORARY_INSTALL_DIRECTORY=TO -P source_archive.cmake

cmake_policy(VERSION 3.22)

# The packages of the programs run the install scripts, too.
if(DEFINED CPACK_SOURCE_PACKAGE_FILE_NAME
        AND NOT CPACK_PACKAGE_FILE_NAME STREQUAL CPACK_SOURCE_PACKAGE_FILE_NAME)
    return()
endif()

# The files of the tree, by their names in it.
function(muxsocks_shipped_files tree result)
    if(EXISTS ${tree}/.git)
        execute_process(
            COMMAND git -c core.quotePath=false -c safe.directory=${tree} ls-files --cached
            WORKING_DIRECTORY ${tree} OUTPUT_VARIABLE names RESULT_VARIABLE code ERROR_VARIABLE why)
        if(NOT code EQUAL 0)
            message(FATAL_ERROR "The source archive is made of the files that git tracks, and git "
                "does not name them: ${code} ${why}")
        endif()
        string(REGEX REPLACE "\n$" "" names "${names}")
        string(REPLACE "\n" ";" names "${names}")
    elseif(EXISTS ${tree}/MANIFEST)
        file(STRINGS ${tree}/MANIFEST names ENCODING UTF-8)
    else()
        message(FATAL_ERROR "${tree} is neither a clone, whose files git names, nor an unpacked "
            "source archive, whose files its MANIFEST names: no source archive is made of it.")
    endif()
    set(there "")
    foreach(name IN LISTS names)
        # What was removed and is still in git's index stays out.
        if(EXISTS ${tree}/${name} AND NOT IS_DIRECTORY ${tree}/${name})
            list(APPEND there ${name})
        endif()
    endforeach()
    set(${result} ${there} PARENT_SCOPE)
endfunction()

# Ends with a sentence where a file has what is for its owner alone.
function(muxsocks_refuse_secrets tree names)
    string(REPEAT "[A-Za-z0-9_-]" 43 token) # As init and user add make them.
    set(secrets
        "-----BEGIN [A-Z ]*PRIVATE KEY-----[\r\n]+[A-Za-z0-9+/]" "a private key"
        "\"token\": *\"${token}\"" "a token"
        "muxsocks://[^ :/@]+:${token}@" "a share link")
    foreach(name IN LISTS names)
        if(name MATCHES "(^|/)(server|client)\\.json(\\.bak)?$" AND NOT name MATCHES "^configs/"
                OR name MATCHES "-key\\.pem$")
            message(FATAL_ERROR "${name} is a file of init's and must not go into the source "
                "archive: take it out of git (git rm --cached ${name}), and make a new key and token "
                "if others have seen it.")
        endif()
        file(READ ${tree}/${name} text)
        foreach(index RANGE 0 4 2)
            list(GET secrets ${index} pattern)
            if(text MATCHES "${pattern}")
                math(EXPR index "${index} + 1")
                list(GET secrets ${index} what)
                message(FATAL_ERROR "${name} holds ${what}, and must not go into the source archive.")
            endif()
        endforeach()
    endforeach()
endfunction()

set(tree ${MUXSOCKS_SOURCE_DIR}${CPACK_MUXSOCKS_SOURCE_DIR})
muxsocks_shipped_files(${tree} names)
list(REMOVE_ITEM names MANIFEST)
muxsocks_refuse_secrets(${tree} "${names}")
foreach(name IN LISTS names)
    get_filename_component(folder ${name} DIRECTORY)
    file(COPY ${tree}/${name} DESTINATION ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${folder})
endforeach()
list(JOIN names "\n" listing)
file(WRITE ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/MANIFEST "${listing}\n")
