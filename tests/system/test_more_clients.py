"""More programs that people use: browsers by the HTTP port, PuTTY by all three protocols, and UDP by SOCKS5."""

import base64
import getpass
import hashlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from support import deadline, muxsocks, programs, servers, socks, udp
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
