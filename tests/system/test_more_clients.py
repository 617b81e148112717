"""More programs that people use: browsers and ffmpeg by the HTTP port, PuTTY by all three protocols, torsocks, and UDP
by SOCKS5."""

import base64
import getpass
import hashlib
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import wave

import pytest

from support import deadline, dns_server, muxsocks, programs, servers, socks, udp
from support.deadline import wait_until

USER = {"name": "ann", "password": "s3cret"}
CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--proxy-bypass-list=<-loopback>",
            "--ignore-certificate-errors"]


# ---- Browsers


class WebSocketEcho:
    """Over TLS (RFC 6455): answers each text in upper case."""

    def __init__(self, keys):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(keys.cert, keys.key)

    def __call__(self, plain):
        try:
            connection = self.context.wrap_socket(plain, server_side=True)
        except (ssl.SSLError, ConnectionError):
            return
        with connection:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = connection.recv(1)
                if not byte:
                    return
                head += byte
            key = re.search(rb"Sec-WebSocket-Key: (\S+)", head, re.I).group(1)
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            while True:
                first, second = servers.read_exactly(connection, 2)
                size, mask = second & 0x7f, servers.read_exactly(connection, 4)
                text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(servers.read_exactly(connection, size)))
                if first & 0x0f == 8:
                    return
                connection.sendall(bytes([0x81, size]) + text.upper())


class Events:
    """Server-sent events, each of them when the test wants it."""

    def __init__(self):
        self.wanted = [threading.Event(), threading.Event()]

    def __call__(self, connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin: *\r\n"
                           b"Cache-Control: no-store\r\n\r\n")
        for number, each in enumerate(self.wanted):
            each.wait(deadline.seconds(60))
            connection.sendall(b"data: event%d\n\n" % number)
        connection.recv(1)


def asked_for(site, path):
    return any(found == path for _, found, _ in site.requests)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_page_with_a_web_socket_in_chromium(pair, website, target, keys, started, folder):
    site, echo = website(), target(WebSocketEcho(keys))
    (site.folder / "index.html").write_text(f"""<!doctype html><title>page</title><script>
        const link = new WebSocket("wss://127.0.0.1:{echo.port}/");
        link.onopen = () => link.send("hello");
        link.onmessage = (event) => fetch("/" + event.data);</script>""")
    proxy = pair()
    browser = started([*CHROMIUM, f"--user-data-dir={folder}/profile", f"--proxy-server=http://{proxy.client.address}",
                       f"http://127.0.0.1:{site.port}/index.html"], env={"HOME": str(folder)})
    wait_until(lambda: asked_for(site, "/HELLO"), 60, browser.last_words)
    browser.kill()
    assert proxy.server.says(rf"stream \d+ to {re.escape(echo.address)} ended")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_page_with_server_sent_events_in_chromium(pair, website, target, started, folder):
    """Each event arrives before the next one is sent: nothing on the way waits for more."""
    events = Events()
    site, source = website(), target(events)
    (site.folder / "index.html").write_text(f"""<!doctype html><title>page</title><script>
        const source = new EventSource("http://127.0.0.1:{source.port}/");
        source.onmessage = (event) => fetch("/" + event.data);</script>""")
    proxy = pair()
    browser = started([*CHROMIUM, f"--user-data-dir={folder}/profile", f"--proxy-server=http://{proxy.client.address}",
                       f"http://127.0.0.1:{site.port}/index.html"], env={"HOME": str(folder)})
    for number, each in enumerate(events.wanted):
        assert not asked_for(site, f"/event{number}")
        each.set()
        wait_until(lambda: asked_for(site, f"/event{number}"), 60, browser.last_words)
    browser.kill()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("firefox-esr"), reason="firefox-esr is not installed")
def test_firefox_by_the_auto_configuration(pair, website, dns, started, folder):
    site = website()
    (site.folder / "index.html").write_text("<!doctype html><title>page</title><script>fetch('/loaded')</script>")
    proxy = pair(server={"dns": {"servers": [dns.address], "prefer": "ipv4"}})
    profile = folder / "profile"
    profile.mkdir()
    settings = {"network.proxy.type": 2, "network.proxy.autoconfig_url": f"http://{proxy.client.address}/proxy.pac",
                "network.proxy.allow_hijacking_localhost": True, "browser.shell.checkDefaultBrowser": False,
                "datareporting.policy.dataSubmissionEnabled": False, "app.update.enabled": False,
                "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
                "network.trr.mode": 5, "browser.aboutwelcome.enabled": False}
    lines = [f'user_pref("{name}", {str(value).lower() if isinstance(value, bool) else repr(value)});\n'
             for name, value in settings.items()]
    (profile / "user.js").write_text("".join(lines).replace("'", '"'))
    browser = started(["firefox-esr", "--headless", "--no-remote", "--profile", profile,
                       f"http://www.muxsocks.test:{site.port}/index.html"],
                      env={**os.environ, "HOME": str(folder), "MOZ_DISABLE_CONTENT_SANDBOX": "1"})
    wait_until(lambda: asked_for(site, "/loaded"), 90, browser.last_words)
    assert ("GET", "/loaded", f"www.muxsocks.test:{site.port}") in site.requests
    browser.kill()


# ---- PuTTY


@pytest.mark.skipif(not (shutil.which("plink") and shutil.which("puttygen")), reason="putty-tools is not installed")
@pytest.mark.parametrize("method,login", [(1, False), (2, False), (2, True), (3, False), (3, True)],
                         ids=["socks4", "socks5", "socks5-login", "http", "http-login"])
def test_plink(pair, ssh_server, folder, method, login):
    port, options = ssh_server
    home = folder / "ssh"
    programs.run(["puttygen", home / "user", "-O", "private", "-o", home / "user.ppk"])
    found = programs.run(["ssh-keygen", "-lf", home / "host.pub"]).stdout.split()[1]
    proxy = pair(client={"users": [USER]} if login else {})
    putty = folder / "putty"
    (putty / "sessions").mkdir(parents=True)
    words = {"ProxyMethod": method, "ProxyHost": proxy.client.host, "ProxyPort": proxy.client.port, "ProxyDNS": 2,
             "ProxyLocalhost": 1, "ProxyUsername": USER["name"] if login else "",
             "ProxyPassword": USER["password"] if login else "", "HostName": "127.0.0.1", "PortNumber": port,
             "Protocol": "ssh"}
    (putty / "sessions" / "there").write_text("".join(f"{name}={value}\n" for name, value in words.items()))
    ended = subprocess.run(
        ["plink", "-load", "there", "-batch", "-hostkey", found, "-i", home / "user.ppk", "-l", getpass.getuser(),
         "cat; echo done >&2"], input=b"through", capture_output=True, timeout=deadline.seconds(30),
        env={**os.environ, "PUTTYDIR": str(putty)})
    assert (ended.returncode, ended.stdout) == (0, b"through"), ended.stderr
    assert b"done" in ended.stderr


# ---- Media


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_ffmpeg_by_http_proxy(pair, website, dns, keys, folder, scheme):
    """Forwarded, with ranges that it seeks by, or through a tunnel; the name is the server's to look up."""
    site = website(keys=keys if scheme == "https" else None)
    sound = os.urandom(400_000)
    with wave.open(str(site.folder / "sound.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(sound)
    proxy = pair(server={"dns": {"servers": [dns.address], "prefer": "ipv4"}})
    ended = programs.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-i",
                          f"{scheme}://www.muxsocks.test:{site.port}/sound.wav", "-f", "s16le", folder / "raw"],
                         env={**os.environ, "http_proxy": f"http://{proxy.client.address}", "no_proxy": ""})
    assert ended.returncode == 0, ended.stderr
    assert (folder / "raw").read_bytes() == sound
    assert ("www.muxsocks.test", 1) in dns.queries


# ---- torsocks


@pytest.mark.skipif(not shutil.which("torsocks"), reason="torsocks is not installed")
def test_torsocks_connects_by_name(new_pair, target, namespace, started):
    """To an address that is none of this machine's, since torsocks connects to no other by a proxy; nobody but the
    server asks the name server."""
    namespace.ip("address add 192.88.100.1/32 dev lo")
    with namespace.inside():
        echo = target(servers.echo, host="192.88.100.1")
        names = dns_server.DnsServer({"outside.muxsocks.test": ["192.88.100.1"]})
    try:
        proxy = new_pair(server={"dns": {"servers": [names.address], "prefer": "ipv4"},
                                 "destinations": {"allow": ["192.88.100.1/32"]}})
        proxy.start_server(prefix=namespace.prefix)
        proxy.start_client(prefix=namespace.prefix)
        program = ("import socket\n"
                   f"with socket.create_connection(('outside.muxsocks.test', {echo.port}), 20) as connection:\n"
                   "    connection.sendall(b'by name')\n"
                   "    print(connection.recv(100).decode())\n")
        ended = programs.run([*namespace.prefix, "torsocks", "-a", proxy.client.host, "-P", str(proxy.client.port),
                              sys.executable, "-c", program])
        assert ended.stdout.strip() == "by name", ended.stderr
        assert proxy.server.says(f"stream .* {re.escape(echo.address)}")
        assert ("outside.muxsocks.test", 1) in names.queries
    finally:
        names.stop()


# ---- UDP


@pytest.fixture
def udp_echo():
    made = udp.Target()
    yield made
    made.stop()


def test_pysocks_by_udp(pair, udp_echo):
    pysocks = pytest.importorskip("socks")
    proxy = pair()
    connection = pysocks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.set_proxy(pysocks.SOCKS5, *proxy.socks)
    connection.settimeout(deadline.seconds(1))
    connection.bind(("127.0.0.1", 0))
    for _ in range(20):
        connection.sendto(b"datagram", ("127.0.0.1", udp_echo.port))
        try:
            assert connection.recvfrom(100) == (b"datagram", ("127.0.0.1", udp_echo.port))
            break
        except TimeoutError:
            continue
    else:
        raise AssertionError("no answer")
    connection.close()


class Forwarder:
    """A local UDP port whose datagrams go through one association to one target."""

    def __init__(self, proxy, host, port):
        self.association = udp.Association(proxy)
        assert self.association.reply.rep == socks.SUCCEEDED
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.to, self.peer = (host, port), None
        for each in (self._up, self._down):
            threading.Thread(target=each, daemon=True).start()

    def _up(self):
        try:
            while True:
                payload, self.peer = self.socket.recvfrom(70_000)
                if not payload:
                    return
                self.association.send(payload, *self.to)
        except OSError:
            pass

    def _down(self):
        self.association.socket.settimeout(None)
        try:
            while True:
                self.socket.sendto(self.association.receive()[1], self.peer)
        except OSError:
            pass

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.association.close()
        self.socket.close()


@pytest.mark.skipif(not shutil.which("dig"), reason="dig is not installed")
def test_dig_through_a_forwarder(pair, dns):
    proxy = pair()
    forwarder = Forwarder(proxy.socks, dns.host, dns.port)
    ended = programs.run(["dig", "+short", "+time=2", "+tries=5", "-p", str(forwarder.port), "@127.0.0.1",
                          "www.muxsocks.test"])
    forwarder.stop()
    assert ended.stdout.strip() == "127.0.0.1", ended.stdout + ended.stderr
    assert ("www.muxsocks.test", 1) in dns.queries


class Tracker:
    """A UDP tracker (BEP 15) that knows one peer of every torrent; `announced` has the hashes, `senders` who asked."""

    CONNECTION = 0x1234_5678_9abc_def0

    def __init__(self, peer):
        self.peer, self.announced = peer, []
        self.target = udp.Target(self._answer)
        self.port, self.senders = self.target.port, self.target.senders

    def _answer(self, payload, _):
        if len(payload) < 16:
            return None
        connection, action, transaction = struct.unpack(">QII", payload[:16])
        if action == 0 and connection == 0x417_2710_1980:
            return struct.pack(">IIQ", 0, transaction, self.CONNECTION)
        if action != 1 or connection != self.CONNECTION or len(payload) < 98:
            return None
        self.announced.append(payload[16:36])
        return (struct.pack(">IIIII", 1, transaction, 1800, 0, 1) + socket.inet_aton(self.peer[0]) +
                struct.pack(">H", self.peer[1]))


def test_libtorrent_by_a_udp_tracker(pair, target, dns, folder):
    """The announcement goes by UDP, to a name that the server looks up, and the peer that it brings is connected to by
    the same proxy."""
    torrents = pytest.importorskip("libtorrent")
    asked = threading.Event()

    def peer(connection):
        if servers.read_exactly(connection, 20) == b"\x13BitTorrent protocol":
            asked.set()

    seeder = target(peer)
    tracker = Tracker(seeder.endpoint)
    dns.records["tracker.muxsocks.test"] = ["127.0.0.1"]
    proxy = pair(server={"dns": {"servers": [dns.address], "prefer": "ipv4"}})
    session = torrents.session({
        "proxy_type": torrents.proxy_type_t.socks5, "proxy_hostname": proxy.client.host,
        "proxy_port": proxy.client.port, "proxy_hostnames": True, "proxy_tracker_connections": True,
        "proxy_peer_connections": True, "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
        "enable_natpmp": False, "listen_interfaces": f"127.0.0.1:{programs.free_port()}",
        "allow_multiple_connections_per_ip": True, "out_enc_policy": 2, "in_enc_policy": 2,
        "enable_outgoing_utp": False, "alert_mask": 0})
    try:
        link = (f"magnet:?xt=urn:btih:{'ab' * 20}&tr=udp%3A%2F%2Ftracker.muxsocks.test%3A{tracker.port}%2Fannounce")
        wanted = torrents.parse_magnet_uri(link)
        wanted.save_path = str(folder)
        session.add_torrent(wanted)
        wait_until(lambda: tracker.announced, 40, "the announcement")
        assert asked.wait(deadline.seconds(40)), "the peer was not asked"
    finally:
        session.pause()
        del session
        tracker.target.stop()
    assert tracker.announced[0] == b"\xab" * 20
    assert ("tracker.muxsocks.test", 1) in dns.queries
    assert proxy.server.says(f"stream .* {re.escape(seeder.address)}")


# ---- Transparent, by another program


@pytest.mark.skipif(not (shutil.which("redsocks") and shutil.which("nft")), reason="redsocks or nft is not installed")
@pytest.mark.parametrize("kind", ["socks5", "socks4", "http-connect"])
def test_redsocks(new_pair, target, namespace, started, folder, kind):
    """What comes from one address of the namespace goes to redsocks, and from there to the client."""
    namespace.ip("address add 192.0.2.1/32 dev lo")
    namespace.ip("address add 192.0.2.2/32 dev lo")
    with namespace.inside():
        echo = target(servers.echo, host="192.0.2.1")
        redirected = programs.free_port()
    rules = folder / "rules"
    rules.write_text("table ip nat {\n  chain output {\n    type nat hook output priority -100;\n"
                     f"    ip saddr 192.0.2.2 tcp dport {echo.port} redirect to :{redirected}\n  }}\n}}\n")
    ended = programs.run([*namespace.prefix, "nft", "-f", rules])
    if ended.returncode != 0:
        pytest.skip(f"no NAT here: {ended.stderr[:200]}")
    proxy = new_pair(server={"destinations": {"allow": ["192.0.2.0/24"]}})
    proxy.start_server(prefix=namespace.prefix)
    proxy.start_client(prefix=namespace.prefix)
    config = folder / "redsocks.conf"
    config.write_text(
        f'base {{ log_debug = off; log_info = on; log = "stderr"; daemon = off; redirector = iptables; }}\n'
        f"redsocks {{ local_ip = 127.0.0.1; local_port = {redirected}; ip = {proxy.client.host}; "
        f"port = {proxy.client.port}; type = {kind}; }}\n")
    program = started([*namespace.prefix, "redsocks", "-c", config])
    wait_until(lambda: muxsocks.listening(program.pid, redirected), 10, program.last_words)
    with namespace.inside():
        connection = socket.socket()
        connection.bind(("192.0.2.2", 0))
        connection.settimeout(deadline.seconds(20))
        connection.connect(echo.endpoint)
    connection.sendall(b"through three")
    assert servers.read_exactly(connection, 13) == b"through three"
    connection.shutdown(socket.SHUT_WR)
    assert servers.read_all(connection) == b""
    connection.close()
    assert proxy.server.says("stream .* 192.0.2.1:")
