# Included by ctest, with `program`, `name`, `label` and `folder` set: makes each test case of a
# Catch2 program (version 2 or 3) a test of its own, NAME.TEST CASE. The program is asked at test
# time, in the environment in which it will run.

if(NOT EXISTS "${program}")
    add_test("${name}" "${program}") # ctest says that it is not there.
    set_tests_properties("${name}" PROPERTIES LABELS "${label}")
    return()
endif()
# Version 2 knows the first of them only, and its exit code is the number of names.
execute_process(COMMAND "${program}" --list-test-names-only WORKING_DIRECTORY "${folder}"
    OUTPUT_VARIABLE listing ERROR_VARIABLE trouble)
set(strict --warn NoTests)
if(listing STREQUAL "")
    set(strict) # In version 3 a name that fits no test is an error anyway.
    execute_process(COMMAND "${program}" --list-tests --verbosity quiet
        WORKING_DIRECTORY "${folder}" OUTPUT_VARIABLE listing ERROR_VARIABLE trouble)
endif()
string(REPLACE ";" "\\;" listing "${listing}")
string(REGEX REPLACE "\n+" ";" listing "${listing}")
set(found FALSE)
foreach(test IN LISTS listing)
    if(NOT test STREQUAL "")
        set(found TRUE)
        # What has a meaning in Catch2's test specifications.
        string(REGEX REPLACE "([][,\"*\\])" "\\\\\\1" specification "${test}")
        add_test("${name}.${test}" "${program}" "${specification}" ${strict})
        set_tests_properties("${name}.${test}" PROPERTIES
            LABELS "${label}" TIMEOUT 600 WORKING_DIRECTORY "${folder}")
    endif()
endforeach()
if(NOT found)
    message(WARNING "${name} lists no tests: ${trouble}")
    add_test("${name}" "${program}")
    set_tests_properties("${name}" PROPERTIES LABELS "${label}")
endif()
