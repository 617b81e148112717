# What `cmake --install` puts where, in two components, client and server.

set(MUXSOCKS_ETC /etc/muxsocks) # Where both programs look for their files.
set(MUXSOCKS_GENERATED ${PROJECT_BINARY_DIR}/packaging)
set(MUXSOCKS_PACKAGING ${PROJECT_SOURCE_DIR}/packaging)
find_program(GZIP_PROGRAM gzip REQUIRED)

# The text of a file with the variables in it.
function(muxsocks_read_configured file variable)
    file(READ ${file} text)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    string(CONFIGURE "${text}" text @ONLY)
    set(${variable} "${text}" PARENT_SCOPE)
endfunction()

# FILE[.in] compressed, as changelogs are installed. No time stamp goes in.
function(muxsocks_compress file result)
    get_filename_component(name ${file} NAME)
    string(REGEX REPLACE "\\.in$" "" name ${name})
    configure_file(${file} ${MUXSOCKS_GENERATED}/${name} @ONLY)
    execute_process(COMMAND ${GZIP_PROGRAM} -9nfk ${MUXSOCKS_GENERATED}/${name}
        COMMAND_ERROR_IS_FATAL ANY)
    set(${result} ${MUXSOCKS_GENERATED}/${name}.gz PARENT_SCOPE)
endfunction()

# Units and manual pages name programs and documents by their paths, which are known when they are
# installed only: the prefix may be given to `cmake --install`. Until then, these names stand for them.
set(MUXSOCKS_BIN "@MUXSOCKS_BIN@")
set(MUXSOCKS_DOC "@MUXSOCKS_DOC@")
function(muxsocks_install_configured file to role gzip)
    install(CODE "set(file \"${MUXSOCKS_GENERATED}/${file}\")
        set(to \"${to}\")
        set(bin \"${CMAKE_INSTALL_BINDIR}\")
        set(doc \"${CMAKE_INSTALL_DATAROOTDIR}/doc\")
        set(gzip \"${gzip}\")
        include(\"${PROJECT_SOURCE_DIR}/cmake/install_configured.cmake\")" COMPONENT ${role})
endfunction()

muxsocks_read_configured(${MUXSOCKS_PACKAGING}/systemd/client-unit.in MUXSOCKS_CLIENT_UNIT)
muxsocks_read_configured(${MUXSOCKS_PACKAGING}/systemd/sandbox.in MUXSOCKS_SANDBOX)
foreach(unit muxsocks-server.service muxsocks-client.service muxsocks-client@.service
        user/muxsocks-client.service)
    configure_file(${MUXSOCKS_PACKAGING}/systemd/${unit}.in
        ${MUXSOCKS_GENERATED}/systemd/${unit} @ONLY)
endforeach()

# Where Debian's zsh looks, and where others do.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr" AND NOT MUXSOCKS_STATIC)
    set(MUXSOCKS_ZSH_DIR share/zsh/vendor-completions)
else()
    set(MUXSOCKS_ZSH_DIR share/zsh/site-functions)
endif()

foreach(role client server)
    set(program muxsocks-${role})
    set(doc ${CMAKE_INSTALL_DATAROOTDIR}/doc/${program})
    set(completions ${MUXSOCKS_PACKAGING}/completions)
    if(MUXSOCKS_STATIC)
        # Of what the programs are made of, packaging/portable/sbom puts the licences there.
        target_link_options(${program} PRIVATE LINKER:-Map,${PROJECT_BINARY_DIR}/${program}.map)
        install(DIRECTORY ${MUXSOCKS_GENERATED}/licences DESTINATION ${doc} COMPONENT ${role} OPTIONAL)
        install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${doc} COMPONENT ${role})
    endif()
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${role})
    configure_file(${MUXSOCKS_PACKAGING}/man/${program}.1.in ${MUXSOCKS_GENERATED}/${program}.1 @ONLY)
    muxsocks_install_configured(${program}.1 ${CMAKE_INSTALL_MANDIR}/man1 ${role} ${GZIP_PROGRAM})
    install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/docs/OPERATIONS.md
        ${PROJECT_SOURCE_DIR}/docs/CONFIGURATION.md ${PROJECT_SOURCE_DIR}/docs/STATUS.md
        DESTINATION ${doc} COMPONENT ${role})
    install(FILES ${MUXSOCKS_PACKAGING}/prometheus/muxsocks.rules.yml
        ${MUXSOCKS_PACKAGING}/prometheus/muxsocks.dashboard.json DESTINATION ${doc}/examples
        COMPONENT ${role})
    install(FILES ${PROJECT_SOURCE_DIR}/configs/${role}.json DESTINATION ${doc}/examples
        COMPONENT ${role})
    install(FILES ${completions}/${program}.bash RENAME ${program}
        DESTINATION share/bash-completion/completions COMPONENT ${role})
    install(FILES ${completions}/_${program} DESTINATION ${MUXSOCKS_ZSH_DIR} COMPONENT ${role})
    install(FILES ${completions}/${program}.fish DESTINATION share/fish/vendor_completions.d
        COMPONENT ${role})
    muxsocks_install_configured(systemd/${program}.service lib/systemd/system ${role} "")
    install(FILES ${MUXSOCKS_PACKAGING}/systemd/${program}.socket DESTINATION lib/systemd/system
        COMPONENT ${role})
    # Early in the order of names: what an administrator sets wins.
    install(FILES ${MUXSOCKS_PACKAGING}/network/sysctl.conf RENAME 20-${program}.conf
        DESTINATION lib/sysctl.d COMPONENT ${role})
    install(FILES ${MUXSOCKS_PACKAGING}/network/modules.conf RENAME ${program}.conf
        DESTINATION lib/modules-load.d COMPONENT ${role})
endforeach()
# Examples, with a program that is not ours.
install(PROGRAMS ${MUXSOCKS_PACKAGING}/tunnel/muxsocks-tunnel-routes
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/muxsocks-client/examples/tunnel COMPONENT client)
install(FILES ${MUXSOCKS_PACKAGING}/tunnel/muxsocks-tunnel.service
    ${MUXSOCKS_PACKAGING}/tunnel/hev-socks5-tunnel.yml
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/muxsocks-client/examples/tunnel COMPONENT client)
muxsocks_install_configured(systemd/muxsocks-client@.service lib/systemd/system client "")
muxsocks_install_configured(systemd/user/muxsocks-client.service lib/systemd/user client "")
install(FILES ${MUXSOCKS_PACKAGING}/systemd/user/muxsocks-client.socket DESTINATION lib/systemd/user
    COMPONENT client)
install(FILES ${MUXSOCKS_PACKAGING}/systemd/muxsocks-server.sysusers RENAME muxsocks-server.conf
    DESTINATION lib/sysusers.d COMPONENT server)
