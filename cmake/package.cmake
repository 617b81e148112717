# The .deb packages (cpack -G DEB) and the source archive (target package_source); scripts/package
# makes them. A package of Debian 12 also installs on Debian 13: see MUXSOCKS_PORTABLE.

if(CMAKE_INSTALL_PREFIX STREQUAL "/usr" AND NOT MUXSOCKS_STATIC)
    foreach(role client server)
        set(doc ${CMAKE_INSTALL_DATAROOTDIR}/doc/muxsocks-${role})
        muxsocks_compress(${MUXSOCKS_PACKAGING}/deb/changelog changes)
        install(FILES ${changes} DESTINATION ${doc} COMPONENT ${role})
        install(FILES ${MUXSOCKS_PACKAGING}/deb/copyright DESTINATION ${doc} COMPONENT ${role})
    endforeach()
endif()
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr" OR MUXSOCKS_STATIC)
    # postinst (post, of an .rpm) gives tls to the group muxsocks.
    install(DIRECTORY DESTINATION ${MUXSOCKS_ETC}/tls COMPONENT server)
    install(DIRECTORY DESTINATION ${MUXSOCKS_ETC}/clients COMPONENT client)
endif()

set(CPACK_PACKAGE_NAME muxsocks)
set(CPACK_PACKAGE_CONTACT "The muxsocks authors <muxsocks@localhost.invalid>")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR})
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON) # For what goes to /etc.
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL client server)
set(CPACK_DEB_COMPONENT_INSTALL ON)

set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "SOCKS5 proxy over multiplexed, resumable TLS links")
set(CPACK_COMPONENT_CLIENT_DESCRIPTION "The client listens for SOCKS5 on this machine, and carries all connections
as streams of one TLS link to a muxsocks-server, where names are resolved and
connections are made. Streams survive the loss of the link, and one that
stalls slows down no other.")
set(CPACK_COMPONENT_SERVER_DESCRIPTION "The server accepts TLS links of muxsocks clients,
authenticates each by a token or a certificate, and connects to what their
streams ask for. It starts as an open proxy, or connects into private networks,
only if it is configured to.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# For certificates of public authorities.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
# CPack would take the architecture of the machine that compiles.
if(CMAKE_CROSSCOMPILING AND CMAKE_LIBRARY_ARCHITECTURE)
    execute_process(
        COMMAND dpkg-architecture -f -t ${CMAKE_LIBRARY_ARCHITECTURE} -q DEB_HOST_ARCH
        OUTPUT_VARIABLE CPACK_DEBIAN_PACKAGE_ARCHITECTURE OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_CLIENT_PACKAGE_NAME muxsocks-client)
set(CPACK_DEBIAN_SERVER_PACKAGE_NAME muxsocks-server)
# For systemd-sysusers, in the order that debhelper has.
set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS
    "systemd | systemd-standalone-sysusers | systemd-sysusers")
foreach(role client server)
    string(TOUPPER ${role} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA
        ${MUXSOCKS_PACKAGING}/deb/${role}/postinst
        ${MUXSOCKS_PACKAGING}/deb/${role}/prerm
        ${MUXSOCKS_PACKAGING}/deb/${role}/postrm)
endforeach()

include(cmake/rpm.cmake)

set(CPACK_SOURCE_GENERATOR TXZ)
set(CPACK_SOURCE_PACKAGE_FILE_NAME muxsocks-${PROJECT_VERSION})
# Not the folder as it lies there, in which keys may be, but what cmake/source_archive.cmake picks.
set(CPACK_SOURCE_INSTALLED_DIRECTORIES "")
set(CPACK_INSTALL_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/source_archive.cmake)
set(CPACK_MUXSOCKS_SOURCE_DIR ${PROJECT_SOURCE_DIR})
set(CPACK_VERBATIM_VARIABLES ON)
include(CPack)
