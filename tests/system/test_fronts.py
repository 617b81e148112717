"""One port, several protocols: SOCKS4 and HTTP's CONNECT beside SOCKS5, told apart by the first byte."""

import base64
import getpass
import socket
import struct
import time

import pytest

from support import deadline, http, programs, servers, socks
from support.web import random_file, sha256_of

MEGABYTE = 1 << 20
USERS = [{"name": "ann", "password": "s3cret: ü"}]


def curl(pair, *arguments, scheme="http", timeout=30):
    return programs.run(["curl", "--silent", "--show-error", "--fail", "--proxy",
                         f"{scheme}://{pair.client.address}", *arguments], timeout=timeout)


def basic(user, password):
    return "Proxy-Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() + "\r\n"


def connect_text(target, fields=""):
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n"


@pytest.fixture
def named(dns):
    return {"dns": {"servers": [dns.address], "prefer": "ipv4"}}


@pytest.mark.parametrize("scheme,host", [("socks4", "127.0.0.1"), ("socks4a", "www.muxsocks.test"),
                                         ("http", "www.muxsocks.test"), ("http", "127.0.0.1")])
def test_curl_through_a_tunnel(pair, website, named, scheme, host):
    site = website()
    digest = random_file(site.folder / "file", 3 * MEGABYTE)
    proxy = pair(server=named)
    fetched = proxy.folder / "fetched"
    ended = curl(proxy, "-p", f"http://{host}:{site.port}/file", "-o", fetched, scheme=scheme)
    assert ended.returncode == 0, ended.stderr
    assert sha256_of(fetched) == digest


@pytest.mark.parametrize("version", ["--proxy1.0", "--http1.1"])
def test_curl_https_and_an_upload(pair, website, keys, version):
    site = website(keys=keys)
    digest = random_file(site.folder / "up", 3 * MEGABYTE)
    proxy = pair()
    arguments = [version, f"http://{proxy.client.address}"] if version == "--proxy1.0" else [version]
    ended = curl(proxy, *arguments, "--cacert", keys.ca, "-T", site.folder / "up",
                 f"https://127.0.0.1:{site.port}/here")
    assert ended.stdout == digest, ended.stderr


def test_bytes_behind_the_head_belong_to_the_tunnel(pair, target):
    echo = target(servers.echo)
    proxy = pair()
    with socket.create_connection(proxy.socks, timeout=deadline.seconds(10)) as connection:
        connection.sendall(connect_text(echo.address).encode() + b"early\x00bytes")
        assert http.read_head(connection) == "HTTP/1.1 200 Connection established\r\n\r\n"
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == b"early\x00bytes"


def test_bytes_that_wait_behind_a_wrong_password_belong_to_the_tunnel(pair, target):
    echo = target(servers.echo)
    proxy = pair(client={"users": USERS})
    name, secret = USERS[0]["name"], USERS[0]["password"]
    said = (connect_text(echo.address, basic(name, "wrong")) + connect_text(echo.address, basic(name, secret))).encode()
    with socket.create_connection(proxy.socks, timeout=deadline.seconds(10)) as connection:
        connection.sendall(said + b"early")
        assert http.read_answer(connection).status == 407
        assert http.read_head(connection) == "HTTP/1.1 200 Connection established\r\n\r\n"
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == b"early"


def test_heads_may_come_in_pieces(pair, target):
    echo = target(servers.echo)
    proxy = pair()
    requests = {connect_text(echo.address).encode(): b"HTTP/1.1 200",
                b"\x04\x01" + struct.pack(">H", echo.port) + bytes([127, 0, 0, 1]) + b"me\0": b"\0\x5a"}
    for request, expected in requests.items():
        with socket.create_connection(proxy.socks, timeout=deadline.seconds(10)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in request:
                connection.sendall(bytes([byte]))
            assert servers.read_exactly(connection, len(expected)) == expected


@pytest.mark.ipv6
def test_an_ipv6_target_stands_in_brackets(pair, target):
    echo = target(servers.echo, host="::1")
    proxy = pair()
    with http.connect(proxy.socks, f"[::1]:{echo.port}") as connection:
        connection.sendall(b"x")
        assert servers.read_exactly(connection, 1) == b"x"


def test_statuses_tell_why_there_is_no_connection(pair, dns):
    free = programs.free_port()
    proxy = pair(server={"dns": {"servers": [dns.address]}})
    for target, status, error in ((f"127.0.0.1:{free}", 502, "connection_refused"),
                                  ("no-such-name.muxsocks.test:80", 504, "connection_timeout")):
        connection, answer = http.ask(proxy.socks, connect_text(target))
        assert answer.status == status, answer.head
        assert answer.field("Proxy-Status") == f"muxsocks; error={error}"
        assert answer.field("Content-Type").startswith("text/plain") and answer.body.endswith(b".\n")
        assert connection.recv(1) == b""
        connection.close()


def test_a_destination_that_the_server_does_not_allow(pair, target):
    echo = target(servers.echo)
    proxy = pair(server={"destinations": {"allow_private": False}})
    connection, answer = http.ask(proxy.socks, connect_text(echo.address))
    assert (answer.status, answer.field("Proxy-Status")) == (
        403, "muxsocks; error=destination_ip_prohibited")
    connection.close()
    assert echo.accepted == 0


def test_no_link_is_told_as_passing(new_pair):
    proxy = new_pair(client={"timeouts": {"wait": "300ms"}})
    proxy.start_client(wait_for_link=False)
    connection, answer = http.ask(proxy.socks, connect_text("example.org:443"))
    assert (answer.status, answer.field("Retry-After")) == (503, "2")
    assert answer.body == b"There is no link to the server: cannot connect: Connection refused.\n"
    connection.close()


@pytest.mark.parametrize("target", ["example.org", "example.org:0", "example.org:x", "2001:db8::1:443",
                                    "[::1", "u@example.org:1", "/x:1"])
def test_a_target_that_is_none(pair, target):
    proxy = pair()
    assert http.status(proxy.socks, connect_text(target)) == 400


def test_users_by_basic(pair, website, keys):
    site = website(keys=keys)
    random_file(site.folder / "file", 1000)
    proxy = pair(client={"users": USERS})
    url = f"https://127.0.0.1:{site.port}/file"
    known = ["--cacert", keys.ca, url, "-o", "/dev/null"]
    assert curl(proxy, "--proxy-user", "ann:s3cret: ü", *known).returncode == 0
    assert curl(proxy, "--proxy-anyauth", "--proxy-user", "ann:s3cret: ü", *known).returncode == 0
    for wrong in (["--proxy-user", "ann:wrong"], ["--proxy-user", "nobody:x"], []):
        ended = curl(proxy, *wrong, "--write-out", "%{http_connect}", *known)
        assert ended.returncode != 0 and ended.stdout == "407", ended.stderr
    assert len(site.requests) == 2


def test_who_has_no_password_may_try_again_on_the_same_connection(pair, target):
    echo = target(servers.echo)
    proxy = pair(client={"users": USERS})
    connection, answer = http.ask(proxy.socks, connect_text(echo.address))
    assert answer.status == 407 and answer.field("Connection") is None
    assert answer.field("Proxy-Authenticate") == 'Basic realm="muxsocks", charset="UTF-8"'
    connection.sendall(connect_text(echo.address, basic("ann", "s3cret: ü")).encode())
    assert http.read_head(connection).startswith("HTTP/1.1 200 ")
    connection.close()


def test_a_wrong_password_is_answered_late_and_none_at_once(pair, target):
    echo = target(servers.echo)
    proxy = pair(client={"users": USERS})
    began = time.monotonic()
    connection, answer = http.ask(proxy.socks, connect_text(echo.address, basic("ann", "x")))
    assert answer.status == 407 and 1 <= time.monotonic() - began
    connection.sendall(connect_text(echo.address, basic("ann", "s3cret: ü")).encode())
    assert http.read_head(connection).startswith("HTTP/1.1 200 ")
    connection.close()
    began = time.monotonic()
    with pytest.raises(PermissionError):
        socks.ask(proxy.socks, echo.host, echo.port, user="ann", password="x")
    assert 1 <= time.monotonic() - began
    began = time.monotonic()
    assert http.status(proxy.socks, connect_text(echo.address)) == 407
    with pytest.raises(PermissionError):
        socks.ask(proxy.socks, echo.host, echo.port)
    assert time.monotonic() - began < deadline.seconds(0.4)


def test_socks4_has_no_password(pair, target):
    echo = target(servers.echo)
    proxy = pair(client={"users": USERS})
    with socket.create_connection(proxy.socks, timeout=deadline.seconds(10)) as connection:
        connection.sendall(b"\x04\x01" + struct.pack(">H", echo.port) + bytes([127, 0, 0, 1]) + b"ann\0")
        assert servers.read_all(connection) == b"\0\x5d" + bytes(6)
    assert proxy.client.says("SOCKS connection closed: A SOCKS4 request came, which has no password")


def test_socks4_answers(pair, target):
    echo = target(servers.echo)
    proxy = pair()
    address = struct.pack(">H", programs.free_port()) + bytes([127, 0, 0, 1])
    for request, code in ((b"\x04\x01" + address + b"\0", 91), (b"\x04\x02" + address + b"\0", 91)):
        with socket.create_connection(proxy.socks, timeout=deadline.seconds(10)) as connection:
            connection.sendall(request)
            assert servers.read_all(connection) == bytes([0, code]) + bytes(6)
    with socket.create_connection(proxy.socks, timeout=deadline.seconds(10)) as connection:
        connection.sendall(b"\x04\x01" + struct.pack(">H", echo.port) + bytes([127, 0, 0, 1]) + b"\0hi")
        answer = servers.read_exactly(connection, 8)
        assert answer[:2] == b"\0\x5a" and answer[4:] == bytes([127, 0, 0, 1])
        assert servers.read_exactly(connection, 2) == b"hi"


def test_a_user_name_that_nobody_asks_for_is_taken(pair, target):
    echo = target(servers.echo)
    proxy = pair()
    socks.connect(proxy.socks, echo.host, echo.port, user="any", password="thing").close()


def test_what_speaks_tls_is_told_in_the_log(pair):
    proxy = pair()
    with socket.create_connection(proxy.socks, timeout=deadline.seconds(10)) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert servers.read_all(connection) == b""
    assert proxy.client.says("speaks no TLS: use http:// or socks5h://")


def test_http_2_is_not_spoken(pair):
    proxy = pair()
    assert http.status(proxy.socks, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505


@pytest.mark.parametrize("kind", ["SOCKS4", "HTTP"])
def test_pysocks(pair, target, named, kind):
    import socks as pysocks
    echo = target(servers.echo)
    proxy = pair(server=named)
    with pysocks.socksocket() as connection:
        connection.set_proxy(getattr(pysocks, kind), *proxy.socks, rdns=True)
        connection.settimeout(deadline.seconds(10))
        connection.connect(("www.muxsocks.test", echo.port))
        connection.sendall(b"x")
        assert servers.read_exactly(connection, 1) == b"x"


@pytest.mark.parametrize("way", ["4", "connect"])
def test_ssh_through_nc(pair, ssh_server, way):
    port, options = ssh_server
    proxy = pair()
    ended = programs.run(
        ["ssh", *options, "-p", str(port), "-o",
         f"ProxyCommand=nc -X {way} -x {proxy.client.address} %h %p",
         f"{getpass.getuser()}@127.0.0.1", "echo done"])
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
