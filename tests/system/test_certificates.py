"""Certificates that are renewed under a running server: read on SIGHUP and when the files change,
served to new links at once, and nobody on an old link notices."""

import hashlib
import os
import shutil
import signal
import socket
import ssl
import threading

import pytest

from support import muxsocks, servers, socks
from support.deadline import seconds, wait_until


def served_certificate(server):
    """The SHA-256 of the certificate that a new link is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["muxsocks/2"])
    with socket.create_connection(server.endpoint, seconds(5)) as connection:
        with context.wrap_socket(connection) as link:
            return hashlib.sha256(link.getpeercert(binary_form=True)).hexdigest()


def certificate_in(path):
    """The SHA-256 of the first certificate of a PEM file."""
    first = path.read_text().partition("-----END CERTIFICATE-----")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first[0] + first[1])).hexdigest()


@pytest.fixture
def files(folder, keys):
    """Certificate and key of the server as files of the test's own, and `put` to replace them."""

    class Files:
        cert, key = folder / "tls/fullchain.pem", folder / "tls/privkey.pem"
        settings = {"tls": {"cert": str(cert), "key": str(key)}}

        def put(self, cert, key):
            shutil.copy(cert, self.cert)
            shutil.copy(key, self.key)

    made = Files()
    made.cert.parent.mkdir()
    made.put(keys.cert, keys.key)
    return made


class Download:
    """A target that sends one half of its bytes, and the other half when it is told to."""

    def __init__(self, target):
        self.data = os.urandom(4 << 20)
        self.go_on = threading.Event()
        self.server = target(self._serve)

    def _serve(self, connection):
        half = len(self.data) // 2
        connection.sendall(self.data[:half])
        self.go_on.wait(60)
        connection.sendall(self.data[half:])

    def begin(self, proxy):
        self.connection = socks.connect(proxy.socks, "127.0.0.1", self.server.port)
        self.begun = servers.read_exactly(self.connection, 100_000, seconds(20))

    def ends_right(self):
        self.go_on.set()
        rest = servers.read_all(self.connection, seconds(20))
        self.connection.close()
        return self.begun + rest == self.data


def test_sighup_under_a_running_download(pair, files, keys, target):
    proxy = pair(server=files.settings)
    download = Download(target)
    download.begin(proxy)
    assert served_certificate(proxy.server) == certificate_in(keys.cert)

    renewed, key = keys.server_certificate("renewed")
    files.put(renewed, key)
    proxy.server.send(signal.SIGHUP)
    proxy.server.wait_for_log("configuration reloaded")
    assert served_certificate(proxy.server) == certificate_in(renewed)
    assert download.ends_right()
    assert len(proxy.client.lines(muxsocks.LINK_UP)) == 1, "the old link stays"
    assert not proxy.client.lines(muxsocks.LINK_DOWN)

    proxy.client.send(signal.SIGUSR2)  # A new link, which verifies the new certificate.
    proxy.client.wait_for_log(r"link to .* is back")


def test_changed_files_are_noticed_without_a_signal(pair, files, keys, target):
    proxy = pair(server=files.settings)
    download = Download(target)
    download.begin(proxy)
    renewed, key = keys.server_certificate("renewed-by-itself")
    files.put(renewed, key)
    said = proxy.server.wait_for_log(r"certificates read anew: .*", 20).group()
    assert "new one, with the pin sha256:" in said
    assert served_certificate(proxy.server) == certificate_in(renewed)
    assert download.ends_right()
    assert not proxy.client.lines(muxsocks.LINK_DOWN)


def test_files_that_do_not_fit_leave_the_old_ones_in_force(pair, files, keys):
    proxy = pair(server=files.settings)
    renewed, key = keys.server_certificate("half-renewed")
    shutil.copy(renewed, files.cert)
    proxy.server.wait_for_log(r"error.*have changed and cannot be used.*does not belong", 20)
    assert served_certificate(proxy.server) == certificate_in(keys.cert)
    shutil.copy(key, files.key)
    proxy.server.wait_for_log(r"certificates read anew", 20)
    assert served_certificate(proxy.server) == certificate_in(renewed)


def test_a_live_folder_of_certbot(pair, folder, keys):
    """Links to the numbered files of an archive, the chain with its intermediate authority, and a
    renewal that swaps the links."""
    authority = keys.intermediate("intermediate")
    live, archive = folder / "live", folder / "archive"
    live.mkdir()
    archive.mkdir()

    def renew(number):
        cert, key = keys.server_certificate(f"certbot{number}", issuer=authority)
        chain = archive / f"fullchain{number}.pem"
        chain.write_text(cert.read_text() + authority[0].read_text())
        shutil.copy(key, archive / f"privkey{number}.pem")
        for name in ("fullchain", "privkey"):
            (live / "next").symlink_to(f"../archive/{name}{number}.pem")
            (live / "next").rename(live / f"{name}.pem")
        return certificate_in(cert)

    first = renew(1)
    proxy = pair(server={"tls": {"cert": str(live / "fullchain.pem"),
                                 "key": str(live / "privkey.pem")}})
    assert served_certificate(proxy.server) == first
    second = renew(2)
    proxy.server.wait_for_log(r"certificates read anew", 20)
    assert served_certificate(proxy.server) == second
    proxy.client.send(signal.SIGUSR2)
    proxy.client.wait_for_log(r"link to .* is back")


@pytest.mark.parametrize("days", [13, 30])
def test_a_certificate_that_ends_soon_is_warned_of(new_pair, keys, days):
    cert, key = keys.server_certificate(f"days{days}", days)
    server = new_pair(server={"tls": {"cert": str(cert), "key": str(key)}}).start_server()
    server.wait_for_log("listening for links")
    if days == 30:
        assert not server.lines("expires on")
    else:
        line = server.wait_for_log(r".*expires on.*").group()
        assert "warn" in line and str(cert) in line and "in 12 days: renew it" in line


def test_a_certificate_that_has_ended_is_warned_of(new_pair, keys):
    server = new_pair(server={"tls": {"cert": str(keys.old_cert)}}).start_server()
    server.wait_for_log(r"warn.*has expired on 2020-01-02: renew it")


def test_a_client_reads_its_authorities_anew(new_pair, folder, keys):
    """The client trusts another CA at first; its file is corrected while it runs."""
    ca = folder / "ca.pem"
    shutil.copy(keys.other_ca, ca)
    proxy = new_pair(client={"tls": {"ca": str(ca)}})
    proxy.start_server()
    proxy.start_client(wait_for_link=False)
    proxy.client.wait_for_log(r"is not signed by a CA|certificate")
    assert not proxy.client.lines(muxsocks.LINK_UP)
    shutil.copy(keys.ca, ca)
    proxy.client.wait_for_log(r"certificates read anew: the authorities", 20)
    wait_until(lambda: proxy.client.lines(muxsocks.LINK_UP), 40, "the link to come up")
