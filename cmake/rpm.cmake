# The .rpm packages (cpack -G RPM), of static programs: scripts/package --portable makes them. They
# install on every distribution of the kind, as they need no library of it.

set(CPACK_RPM_COMPONENT_INSTALL ON)
set(CPACK_RPM_FILE_NAME RPM-DEFAULT)
set(CPACK_RPM_PACKAGE_LICENSE MIT)
set(CPACK_RPM_PACKAGE_GROUP "Applications/Internet")
set(CPACK_RPM_PACKAGE_AUTOREQPROV OFF)
set(CPACK_RPM_PACKAGE_RELOCATABLE OFF)
set(CPACK_RPM_COMPRESSION_TYPE xz) # Which every rpm reads.
set(CPACK_RPM_SERVER_PACKAGE_REQUIRES_POST "/usr/bin/systemd-sysusers")
# The distribution's own folders, which CPack would take for the package's.
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION
    /usr/lib/systemd /usr/lib/systemd/system /usr/lib/systemd/user /usr/lib/sysusers.d
    /usr/lib/sysctl.d /usr/lib/modules-load.d
    /usr/share/bash-completion /usr/share/bash-completion/completions
    /usr/share/fish /usr/share/fish/vendor_completions.d
    /usr/share/zsh /usr/share/zsh/site-functions /usr/share/man/man1)
foreach(role client server)
    string(TOUPPER ${role} upper)
    set(CPACK_RPM_${upper}_PACKAGE_NAME muxsocks-${role})
    set(CPACK_RPM_${upper}_PACKAGE_SUMMARY "SOCKS5 proxy over multiplexed, resumable TLS links (${role})")
    set(CPACK_RPM_${upper}_POST_INSTALL_SCRIPT_FILE ${MUXSOCKS_PACKAGING}/rpm/${role}/post)
    set(CPACK_RPM_${upper}_PRE_UNINSTALL_SCRIPT_FILE ${MUXSOCKS_PACKAGING}/rpm/${role}/preun)
    set(CPACK_RPM_${upper}_POST_UNINSTALL_SCRIPT_FILE ${MUXSOCKS_PACKAGING}/rpm/${role}/postun)
endforeach()
# The programs as they are, and the same bytes from the same tree ($SOURCE_DATE_EPOCH).
set(CPACK_RPM_SPEC_MORE_DEFINE "%define __os_install_post %{nil}
%define debug_package %{nil}
%define _build_id_links none
%define _buildhost localhost
%define source_date_epoch_from_changelog 0
%define use_source_date_epoch_as_buildtime 1
%define build_mtime_policy clamp_to_source_date_epoch
%define clamp_mtime_to_source_date_epoch 1")
