"""`via`: links through a proxy, by HTTP's CONNECT and by SOCKS5."""

import base64
import os
import re
import socket
import threading

import pytest

from support import http, muxsocks, programs, servers, socks
from support.deadline import wait_until
from test_doctor import Findings

LOGIN = ("ann", "s3cret: ü")


class Proxy:
    """Handlers for servers.TargetServer. `asked` are the authorities that CONNECT named."""

    def __init__(self, login=None):
        self.login, self.asked = login, []

    def http(self, connection):
        head = http.read_head(connection)
        self.asked.append(head.split(" ")[1])
        if self.login:
            given = re.search(r"\r\nProxy-Authorization: Basic (.*)\r\n", head)
            if not given or base64.b64decode(given.group(1)).decode() != ":".join(self.login):
                return connection.sendall(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
                                          b"Content-Length: 0\r\n\r\n")
        host, _, port = self.asked[-1].rpartition(":")
        join(connection, host, int(port), b"HTTP/1.1 200 Connection established\r\nX-Proxy: y\r\n\r\n",
             b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nsorry")

    def socks5(self, connection):
        methods = servers.read_exactly(connection, servers.read_exactly(connection, 2)[1])
        wanted = 2 if self.login else 0
        if wanted not in methods:
            return connection.sendall(b"\x05\xff")
        connection.sendall(bytes([5, wanted]))
        if self.login:
            name = servers.read_exactly(connection, servers.read_exactly(connection, 2)[1]).decode()
            word = servers.read_exactly(connection, servers.read_exactly(connection, 1)[0]).decode()
            connection.sendall(b"\x01\x00" if (name, word) == self.login else b"\x01\x01")
            if (name, word) != self.login:
                return
        kind = servers.read_exactly(connection, 4)[3]
        host = socket.inet_ntoa(servers.read_exactly(connection, 4)) if kind == 1 else \
            servers.read_exactly(connection, servers.read_exactly(connection, 1)[0]).decode()
        port = int.from_bytes(servers.read_exactly(connection, 2), "big")
        self.asked.append(f"{host}:{port}")
        join(connection, host, port, b"\x05\x00\x00\x01" + bytes(6), b"\x05\x05\x00\x01" + bytes(6))


def join(connection, host, port, success, failure):
    try:
        with socket.create_connection((host, port)) as there:
            connection.sendall(success)
            connection.settimeout(None)
            threading.Thread(target=pass_on, args=(there, connection), daemon=True).start()
            pass_on(connection, there)
    except ConnectionRefusedError:
        connection.sendall(failure)


def pass_on(here, there):
    try:
        while data := here.recv(65536):
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def echoes(proxy, echo):
    with socks.connect(proxy.socks, "127.0.0.1", echo.port) as connection:
        connection.sendall(b"through both")
        connection.shutdown(socket.SHUT_WR)
        return servers.read_all(connection) == b"through both"


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("login", [None, LOGIN], ids=["open", "login"])
def test_links_go_through_it(new_pair, target, scheme, login):
    hop = Proxy(login)
    at = target(getattr(hop, scheme))
    user = "ann@" if login else ""
    proxy = new_pair(client={"via": f"{scheme}://{user}{at.address}",
                             **({"via_password": LOGIN[1]} if login else {})}).start()
    assert echoes(proxy, target(servers.echo))
    assert set(hop.asked) == {proxy.server.address}


def test_the_proxy_looks_the_name_up(new_pair, target):
    hop = Proxy()
    proxy = new_pair(client={"via": target(hop.socks5).address.join(["socks5://", ""])})
    port = proxy.server_endpoint[1]
    proxy.client_settings["server"] = f"localhost:{port}"
    proxy.start()
    assert set(hop.asked) == {f"localhost:{port}"}


def test_a_session_goes_on_through_it(new_pair, target):
    hop = Proxy()
    at = target(hop.http)
    echo = target(servers.echo)
    proxy = new_pair(client={"via": f"http://{at.address}"}).start()
    with socks.connect(proxy.socks, "127.0.0.1", echo.port) as connection:
        connection.sendall(b"before")
        assert servers.read_exactly(connection, 6) == b"before"
        with at._lock:
            for each in at._open:
                each.shutdown(socket.SHUT_RDWR)
        proxy.client.says("is back")
        connection.sendall(b"after")
        assert servers.read_exactly(connection, 5) == b"after"
    assert len(hop.asked) >= 2


def test_one_server_without_it(new_pair, target):
    hop = Proxy()
    proxy = new_pair(client={"via": f"http://{target(hop.http).address}"})
    address = proxy.client_settings.pop("server")
    proxy.client_settings["servers"] = [{"address": address, "via": "none"}]
    assert echoes(proxy.start(), target(servers.echo))
    assert hop.asked == []


def test_the_environment_is_asked_only_if_it_is_named(new_pair, target):
    hop = Proxy()
    at = target(hop.http)
    echo = target(servers.echo)
    variables = {"https_proxy": f"http://{at.address}", "no_proxy": "", "NO_PROXY": ""}
    proxy = new_pair()
    proxy.start_server()
    proxy.start_client(env={**os.environ, **variables})
    assert echoes(proxy, echo) and hop.asked == []
    proxy = new_pair(client={"via": "env"})
    proxy.start_server()
    proxy.start_client(env={**os.environ, **variables})
    assert echoes(proxy, echo) and len(hop.asked) >= 1
    hop.asked.clear()
    proxy = new_pair(client={"via": "env"})
    proxy.start_server()
    proxy.start_client(env={**os.environ, **variables, "no_proxy": "127.0.0.0/8"})
    assert echoes(proxy, echo) and hop.asked == []


def test_a_reload_changes_it(new_pair, target):
    hop = Proxy()
    at = target(hop.http)
    proxy = new_pair().start()
    proxy.client.reload(muxsocks.merge(proxy.client.config, {"via": f"http://{at.address}"}))
    wait_until(lambda: hop.asked, 10, "a link through the proxy")
    proxy.wait_for_link(2)
    assert echoes(proxy, target(servers.echo))


# ---- What goes wrong, and doctor


def refusing(answer):
    def handler(connection):
        connection.recv(4096)
        connection.sendall(answer)

    return handler


FAULTS = {
    "login": (Proxy(LOGIN).http, "proxy", "asks for a user name and a password", "via_password_file"),
    "denied": (refusing(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "proxy", "does not allow connections to .*403 Forbidden", "443"),
    "no proxy": (refusing(b"SSH-2.0-OpenSSH\r\n\r\n"), "proxy", "is no HTTP proxy", "scheme"),
    "closed": (lambda connection: connection.recv(4096), "proxy", "closed the connection without an answer", "scheme"),
}


@pytest.mark.parametrize("handler,step,what,cure", FAULTS.values(), ids=FAULTS.keys())
def test_errors_name_the_hop_and_its_cure(new_pair, target, handler, step, what, cure):
    at = target(handler)
    proxy = new_pair(client={"via": f"http://{at.address}"})
    proxy.start_client(wait_for_link=False)
    line = proxy.client.says("link to .* failed")[0]
    assert re.search(what, line) and cure in line and at.address in line
    found = examine(proxy)
    assert (found.passed, found.failed) == (["name", "TCP"], step), found.text
    assert re.search(what, found.why) and cure in found.advice, found.text


def examine(proxy):
    path = muxsocks.write_config(proxy.folder, "client", proxy.client_settings)
    return Findings(programs.run([programs.binary("muxsocks-client"), "doctor", "-c", path]))


def test_a_login_that_is_missing_is_told_to_applications_at_once(new_pair, target):
    proxy = new_pair(client={"via": f"http://{target(Proxy(LOGIN).http).address}", "timeouts": {"wait": "1h"}})
    proxy.start_client(wait_for_link=False)
    connection, answer = http.ask(proxy.socks, "CONNECT example.org:443 HTTP/1.1\r\n\r\n")
    connection.close()
    assert answer.status == 503 and b"asks for a user name and a password" in answer.body


def test_doctor_names_each_hop(new_pair, target):
    at = target(Proxy().http)
    proxy = new_pair(client={"via": f"http://{at.address}"})
    proxy.start_server()
    found = examine(proxy)
    assert found.passed == ["name", "TCP", "proxy", "TLS", "token", "request", "path"], found.text
    assert f"http://{at.address} has connected to {proxy.server.address}" in found.text


def test_doctor_on_a_proxy_that_is_not_there(new_pair):
    nobody = programs.free_port()
    proxy = new_pair(client={"via": f"socks5://127.0.0.1:{nobody}"})
    found = examine(proxy)
    assert (found.passed, found.failed) == (["name"], "TCP"), found.text
    assert f"the proxy 127.0.0.1:{nobody} (via): Connection refused" in found.why


def test_a_server_that_the_proxy_cannot_reach(new_pair, target):
    proxy = new_pair(client={"via": f"socks5://{target(Proxy().socks5).address}"})
    found = examine(proxy)
    assert found.failed == "proxy" and "REP 05" in found.why and "running" in found.advice, found.text


def test_a_proxy_that_does_not_answer(new_pair, target):
    proxy = new_pair(client={"via": f"http://{target(servers.hold).address}", "timeouts": {"connect": "300ms"}})
    found = examine(proxy)
    assert found.failed == "proxy" and "not answered within 300ms" in found.why, found.text


@pytest.mark.parametrize("wrong,said", [
    ({"via": "https://proxy:1"}, "TLS to the proxy"), ({"via": "nonsense://x"}, "expected a proxy"),
    ({"via": "http://proxy:1", "via_password": "x"}, "names no user"), ({"via_password": "x"}, "names no user")])
def test_what_is_no_proxy_is_refused(new_pair, wrong, said):
    proxy = new_pair(client=wrong)
    ended = muxsocks.check("client", proxy.folder, proxy.client_settings)
    assert ended.returncode != 0 and said in ended.stderr, ended.stderr


def test_the_clients_own_port_is_refused(new_pair):
    proxy = new_pair()
    config = muxsocks.merge(proxy.client_settings, {"via": f"http://{proxy.client_settings['listen']}"})
    ended = muxsocks.check("client", proxy.folder, config)
    assert ended.returncode != 0 and "where this client itself listens" in ended.stderr


def test_passwords_are_not_shown(new_pair):
    proxy = new_pair(client={"via": "ftp://ann:s3cret@proxy:1"})
    ended = muxsocks.check("client", proxy.folder, proxy.client_settings)
    assert ended.returncode != 0 and "s3cret" not in ended.stderr
