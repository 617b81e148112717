"""Plain HTTP through the client's port: requests that name their target, forwarded byte by byte."""

import base64
import os
import random
import shutil
import socket
import threading

import pytest

from support import deadline, exchanges, http, programs, servers
from support.web import random_file, sha256_of

MEGABYTE = 1 << 20
USERS = [{"name": "ann", "password": "s3cret: ü"}]
AUTHORIZATION = "Proxy-Authorization: Basic " + base64.b64encode("ann:s3cret: ü".encode()).decode() + "\r\n"


def get(target, path="/", fields="", method="GET", version="1.1"):
    return f"{method} http://{target.address}{path} HTTP/{version}\r\nHost: {target.address}\r\n{fields}\r\n"


def answering(*answers, body_of=None):
    """A target that reads a head for each answer, sends it, and closes after the last."""

    def handler(connection):
        for answer in answers:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = connection.recv(1)
                if not byte:
                    return
                head += byte
            connection.sendall(answer)

    return handler


def open_to(proxy):
    return socket.create_connection(proxy.socks, timeout=deadline.seconds(20))


# ---- Random exchanges


class Player:
    """Plays exchanges one after the other, on one connection as long as that lasts."""

    def __init__(self, proxy, targets, random_):
        self.proxy, self.targets, self.random, self.connection = proxy, targets, random_, None

    def play(self, group):
        """Several exchanges with one server, pipelined where there is more than one."""
        target = self.random.choice(self.targets)
        if self.connection is None:
            self.connection = open_to(self.proxy)
            self.stream = self.connection.makefile("rb")
        text = b"".join(each.request(target.address) for each in group)
        sender = threading.Thread(target=self._send, args=(text,))
        sender.start()
        for each in group:
            if not self._receive(each):
                self.stream.close()
                self.connection.close()
                self.connection = None
                break
        sender.join()

    def _send(self, text):
        try:
            exchanges.send_in_pieces(self.connection, text, random.Random(len(text)))
        except OSError:
            pass  # the answer was cut, or said close

    def _head(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.stream.readline()
            if not line:
                raise EOFError(f"end of file in a head: {head!r}")
            head += line
        return head

    @staticmethod
    def _lost(each, head):
        """A target's reset may take along all that it has said before; that is no cut body then."""
        return each.cut and each.cut[1] == "reset" and head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")

    def _receive(self, each):
        """Returns whether the connection goes on."""
        try:
            for interim in each.interim:
                head = self._head()
                if self._lost(each, head):
                    return False
                assert head == interim
            head = self._head()
            if self._lost(each, head):
                return False
            head = head.decode("latin-1")
            body = self.stream.read(len(each.answer_body))
            if each.cut and len(body) < len(each.answer_body):
                raise AssertionError(f"{each.number}: a clean end of a cut body")
        except ConnectionResetError:
            assert each.cut, f"{each.number} was reset"
            return False
        assert not each.cut, f"{each.number}: a cut body came whole"
        lines = head.split("\r\n")
        assert lines[:2] == [each.status_line, f"X-Number: {each.number}"], head
        assert each.answer_fields.strip() in head
        assert body == each.answer_body, f"{each.number}: another body"
        if each.keeps_application:
            assert "Connection: close" not in lines, head
            return True
        assert "Connection: close" in lines, head
        assert self.stream.read(1) == b"", f"{each.number}: not the end"
        return False


@pytest.mark.parametrize("parts", [4])
def test_random_exchanges_pass_byte_by_byte(pair, target, parts):
    """MUXSOCKS_EXCHANGES=10000 plays more of them, MUXSOCKS_SEED others."""
    count = int(os.environ.get("MUXSOCKS_EXCHANGES", "300"))
    seed = os.environ.get("MUXSOCKS_SEED", "1")
    print("seed", seed)
    plan = {number: exchanges.Exchange(seed, number) for number in range(count)}
    players, targets = [exchanges.Server(plan), exchanges.Server(plan)], []
    for player in players:
        targets.append(target(player))
        player.authority = targets[-1].address
    proxy = pair(client={"log": {"level": "info"}}, server={"log": {"level": "info"}})
    failures = []

    def play(part):
        choice = random.Random(f"{seed}/{part}")
        player = Player(proxy, targets, choice)
        number = part
        try:
            while number < count:
                group = [plan[number]]
                # What follows on the same connection may be sent before the answer is there.
                while group[-1].keeps_application and not group[-1].cut and choice.random() < 0.3 \
                        and number + parts < count:
                    number += parts
                    group.append(plan[number])
                number += parts
                player.play(group)
        except BaseException as failed:
            failures.append(f"seed {seed}: {failed!r}")

    threads = [threading.Thread(target=play, args=(part,)) for part in range(parts)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failures and not players[0].faults and not players[1].faults, \
        (failures, players[0].faults[:3], players[1].faults[:3])


# ---- One thing at a time


def test_curl_downloads_and_uploads(pair, website, dns):
    site = website()
    digest = random_file(site.folder / "file", 20 * MEGABYTE)
    proxy = pair(server={"dns": {"servers": [dns.address], "prefer": "ipv4"}})
    url = f"http://www.muxsocks.test:{site.port}"
    for version in ("--http1.1", "--http1.0"):
        ended = programs.run(["curl", "-sS", "--fail", version, "-x", f"http://{proxy.client.address}",
                              f"{url}/file", "-o", proxy.folder / "fetched"])
        assert ended.returncode == 0, ended.stderr
        assert sha256_of(proxy.folder / "fetched") == digest
    ended = programs.run(["curl", "-sS", "--fail", "-x", f"http://{proxy.client.address}", "-T",
                          site.folder / "file", f"{url}/here", "-T", site.folder / "file", f"{url}/again"])
    assert ended.returncode == 0, ended.stderr
    assert site.uploads == [(path, 20 * MEGABYTE, digest) for path in ("/here", "/again")]


@pytest.mark.skipif(not shutil.which("wget"), reason="wget is not installed")
def test_wget(pair, website):
    site = website()
    digest = random_file(site.folder / "file", MEGABYTE)
    proxy = pair()
    ended = programs.run(["wget", "-q", "-O", proxy.folder / "fetched", f"http://127.0.0.1:{site.port}/file"],
                         env={**os.environ, "http_proxy": f"http://{proxy.client.address}", "no_proxy": ""})
    assert ended.returncode == 0, ended.stderr
    assert sha256_of(proxy.folder / "fetched") == digest


def test_requests_to_one_server_share_a_connection_there(pair, target):
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    first, second = target(answering(*[ok] * 9)), target(answering(*[ok] * 9))
    proxy = pair()
    connection = open_to(proxy)
    for each in (first, first, second, first):
        connection.sendall(get(each).encode())
        assert http.read_answer(connection).body == b"ok"
    assert (first.accepted, second.accepted) == (2, 1)
    connection.close()


def test_a_kept_connection_that_the_server_has_closed_is_replaced(pair, target):
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    site = target(answering(ok))
    proxy = pair()
    connection = open_to(proxy)
    for count in range(1, 6):
        connection.sendall(get(site).encode())
        assert http.read_answer(connection).body == b"ok"
        assert site.accepted == count
    connection.close()


def test_pipelined_requests_are_answered_in_order(pair, target):
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % i for i in range(5)]
    site = target(answering(*answers))
    proxy = pair()
    connection = open_to(proxy)
    connection.sendall(get(site).encode() * 5)
    assert [http.read_answer(connection).body for _ in range(5)] == [b"%d" % i for i in range(5)]
    connection.close()


def test_an_answer_without_a_length_ends_with_its_connection(pair, target):
    for version in (b"1.0", b"1.1"):
        site = target(answering(b"HTTP/" + version + b" 200 OK\r\n\r\nall of it"))
        proxy = pair()
        connection, answer = http.ask(proxy.socks, get(site))
        assert answer.field("Connection") == "close"
        assert servers.read_all(connection) == b"all of it"
        connection.close()


@pytest.mark.parametrize("head", [b"Content-Length: 100\r\n\r\nshort", b"Transfer-Encoding: chunked\r\n\r\n5\r\nshor",
                                  b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
                                  b"Transfer-Encoding: chunked\r\n\r\n5\nshort\n0\n\n"])
def test_a_cut_body_is_a_reset(pair, target, head):
    site = target(answering(b"HTTP/1.1 200 OK\r\n" + head))
    proxy = pair()
    with open_to(proxy) as connection:
        connection.sendall(get(site).encode())
        with pytest.raises(ConnectionResetError):
            servers.read_all(connection)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"SSH-2.0-x\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
                                    b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"])
def test_what_is_no_answer(pair, target, answer):
    site = target(answering(answer))
    proxy = pair()
    connection, got = http.ask(proxy.socks, get(site))
    assert got.status == 502 and got.field("Proxy-Status") == "muxsocks; error=http_protocol_error"
    connection.close()


def test_a_target_that_refuses(pair):
    proxy = pair()
    free = programs.free_port()
    connection, answer = http.ask(proxy.socks, f"GET http://127.0.0.1:{free}/ HTTP/1.1\r\n\r\n")
    assert (answer.status, answer.field("Proxy-Status")) == (502, "muxsocks; error=connection_refused")
    connection.close()


def test_an_answer_that_comes_bit_by_bit_is_passed_on_at_once(pair, target):
    """Server-sent events: no buffering, and the connection persists."""
    go = threading.Semaphore(0)

    def events(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            go.acquire()
            connection.sendall(b"b\r\ndata: %d\n\n\r\n" % (100 + number))
        connection.sendall(b"0\r\n\r\n")
        connection.recv(1)

    site = target(events)
    proxy = pair()
    connection, answer = http.ask(proxy.socks, get(site))
    assert answer.field("Connection") is None
    for number in range(3):
        go.release()
        assert servers.read_exactly(connection, 16) == b"b\r\ndata: %d\n\n\r\n" % (100 + number)
    assert servers.read_exactly(connection, 5) == b"0\r\n\r\n"
    connection.close()


def test_continue_is_passed_on(pair, target):
    def polite(connection):
        assert b"Expect: 100-continue" in connection.recv(65536)
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert servers.read_exactly(connection, 5) == b"hello"
        connection.sendall(b"HTTP/1.1 204 Done\r\n\r\n")

    proxy = pair()
    with open_to(proxy) as connection:
        connection.sendall(get(target(polite), method="PUT",
                               fields="Content-Length: 5\r\nExpect: 100-continue\r\n").encode())
        assert http.read_head(connection).startswith("HTTP/1.1 100 ")
        connection.sendall(b"hello")
        assert http.read_answer(connection).status == 204


def test_an_upgrade_becomes_a_tunnel(pair, target):
    seen = []

    def websocket(connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        seen.append(head)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst")
        servers.echo(connection)

    proxy = pair()
    connection, answer = http.ask(proxy.socks, get(
        target(websocket), fields="Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                                  "Sec-WebSocket-Key: x\r\n"))
    assert answer.status == 101 and answer.field("Upgrade") == "websocket"
    assert servers.read_exactly(connection, 5) == b"first"
    connection.sendall(b"\x81\x00raw\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)
    assert servers.read_all(connection) == b"\x81\x00raw\r\n\r\n"
    assert b"Upgrade: websocket\r\nConnection: Upgrade\r\n" in seen[0]
    connection.close()


def test_an_application_that_half_closes_gets_its_answer(pair, target):
    site = target(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    proxy = pair()
    with open_to(proxy) as connection:
        connection.sendall(get(site).encode())
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection).endswith(b"\r\n\r\nok")


def test_a_request_whose_body_is_cut_does_not_look_whole(pair, target):
    site = target(servers.sink)
    proxy = pair()
    with open_to(proxy) as connection:
        connection.sendall(get(site, method="PUT", fields="Content-Length: 100\r\n").encode() + b"short")
        deadline.wait_until(lambda: site.accepted, 5, "the target to be connected")
        connection.shutdown(socket.SHUT_WR)
        deadline.wait_until(lambda: site.ends, 5, "the target's end")
    assert site.ends == ["ECONNRESET"]


SMUGGLING = {
    "both lengths": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "two lengths": "Content-Length: 5\r\nContent-Length: 5\r\n",
    "a list of lengths": "Content-Length: 5, 5\r\n",
    "a signed length": "Content-Length: +5\r\n",
    "a space before the colon": "Content-Length : 5\r\n",
    "a folded line": "X: y\r\n z\r\n",
    "a bare LF": "X: y\nZ: a\r\n",
    "a bare CR": "X: y\rZ: a\r\n",
    "a NUL": "X: y\0\r\n",
    "no token": "X Y: z\r\n",
    "two hosts": "Host: other\r\n",
}


@pytest.mark.parametrize("fields", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_what_two_parsers_could_read_in_two_ways_ends_here(pair, target, fields):
    site = target(answering(b""))
    proxy = pair()
    connection, answer = http.ask(proxy.socks, get(site, method="POST", fields=fields))
    assert answer.status == 400 and answer.field("Connection") == "close"
    assert connection.recv(1) == b""
    connection.close()
    assert site.accepted == 0


def test_other_refusals(pair, target):
    site = target(answering(b""))
    proxy = pair()
    for text, status in (
            (get(site, fields="Transfer-Encoding: gzip, chunked\r\n", method="POST"), 501),
            (get(site, version="2.0"), 505),
            (get(site, fields="X: " + "y" * 70_000 + "\r\n"), 431),
            (get(site, fields="X: y\r\n" * 300), 431),
            ("GET https://example.org/ HTTP/1.1\r\n\r\n", 501),
            ("GET ftp://example.org/ HTTP/1.1\r\n\r\n", 501),
            ("GET http://user@example.org/ HTTP/1.1\r\n\r\n", 400),
            ("GET example.org HTTP/1.1\r\n\r\n", 400),
            ("GET http:///x HTTP/1.1\r\n\r\n", 400)):
        assert http.status(proxy.socks, text) == status, text[:60]
    assert http.status(proxy.socks, get(site, method="POST", fields="Transfer-Encoding: chunked\r\n")
                       + "5 \r\nhello\r\n0\r\n\r\n") == 400
    assert site.accepted == 0


def test_each_request_needs_the_password(pair, target):
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    site = target(answering(ok, ok))
    proxy = pair(client={"users": USERS})
    with open_to(proxy) as connection:
        for fields, status in ((AUTHORIZATION, 200), ("", 407), (AUTHORIZATION, 200)):
            connection.sendall(get(site, fields=fields).encode())
            assert http.read_answer(connection).status == status
    assert site.accepted == 2


def test_a_tunnel_may_follow_on_the_same_connection(pair, target):
    site, echo = target(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")), target(servers.echo)
    proxy = pair()
    with open_to(proxy) as connection:
        connection.sendall(get(site).encode())
        assert http.read_answer(connection).status == 200
        connection.sendall(f"CONNECT {echo.address} HTTP/1.1\r\n\r\nhi".encode())
        assert http.read_head(connection).startswith("HTTP/1.1 200 ")
        assert servers.read_exactly(connection, 2) == b"hi"


def test_a_request_waits_for_the_link(new_pair, target):
    site = target(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    proxy = new_pair()
    proxy.start_client(wait_for_link=False)
    with open_to(proxy) as connection:
        connection.sendall(get(site).encode())
        proxy.start_server()
        assert http.read_answer(connection).body == b"ok"


def test_no_link_is_told_as_passing(new_pair):
    proxy = new_pair(client={"timeouts": {"wait": "300ms"}})
    proxy.start_client(wait_for_link=False)
    connection, answer = http.ask(proxy.socks, "GET http://example.org/ HTTP/1.1\r\n\r\n")
    assert (answer.status, answer.field("Retry-After")) == (503, "2")
    connection.close()


def test_nothing_is_left_behind(pair, target):
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    site = target(answering(*[ok] * 3))
    proxy = pair()
    before = proxy.client.sockets()
    for _ in range(20):
        with open_to(proxy) as connection:
            connection.sendall(get(site).encode())
            assert http.read_answer(connection).body == b"ok"
            connection.sendall(get(site).encode()[:20])
    deadline.wait_until(lambda: proxy.client.sockets() <= before, 10, "sockets to be closed")
    deadline.wait_until(lambda: proxy.client.statistics()["streams"] == 0, 10, "streams to be closed")


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_git(pair, website, folder):
    """A clone by the old protocol, which needs nothing but files."""
    site = website()
    work, quiet = folder / "work", {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    work.mkdir()
    (work / "file").write_text("content")
    for command in ("init -q", "add file", "-c user.name=a -c user.email=a@b commit -q -m first"):
        assert programs.run(["git", "-C", work, *command.split()], env=quiet).returncode == 0
    bare = site.folder / "repository.git"
    for command in (["clone", "-q", "--bare", work, bare], ["-C", bare, "update-server-info"]):
        assert programs.run(["git", *command], env=quiet).returncode == 0
    proxy = pair()
    ended = programs.run(["git", "-c", f"http.proxy=http://{proxy.client.address}", "clone", "-q",
                          f"http://127.0.0.1:{site.port}/repository.git", folder / "clone"],
                         env={**quiet, "no_proxy": ""})
    assert ended.returncode == 0, ended.stderr
    assert (folder / "clone/file").read_text() == "content"


@pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is not installed")
def test_apt(pair, website, folder):
    """A list of packages, and one of them; apt pipelines its requests."""
    site = website()
    packages = []
    for number in range(5):
        digest = random_file(site.folder / f"p{number}.deb", 100_000)
        packages.append(f"Package: p{number}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\n"
                        f"Filename: ./p{number}.deb\nSize: 100000\nSHA256: {digest}\nDescription: x\n")
    (site.folder / "Packages").write_text("\n".join(packages))
    proxy = pair()
    for name in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "log"):
        (folder / "apt" / name).mkdir(parents=True)
    (folder / "apt/status").write_text("")
    (folder / "apt/sources").write_text(f"deb [trusted=yes] http://127.0.0.1:{site.port}/ ./\n")
    root = folder / "apt"
    options = [f"Dir::State={root}/state", f"Dir::State::status={root}/status", f"Dir::Cache={root}/cache",
               f"Dir::Etc={root}/etc", f"Dir::Etc::sourcelist={root}/sources", "Dir::Etc::sourceparts=-",
               f"Dir::Log={root}/log", "APT::Architecture=amd64", "APT::Sandbox::User=root",
               f"Acquire::http::Proxy=http://{proxy.client.address}"]
    settings = [part for each in options for part in ("-o", each)]
    for command in (["update"], ["download", *(f"p{number}" for number in range(5))]):
        ended = programs.run(["apt-get", "-q", *settings, *command], cwd=folder, timeout=60)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    for number in range(5):
        assert sha256_of(folder / f"p{number}_1_all.deb") == sha256_of(site.folder / f"p{number}.deb")


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_npm(pair, website, folder):
    site = website()
    (site.folder / "thing").write_text(
        '{"name": "thing", "dist-tags": {"latest": "1.2.3"}, "versions": {"1.2.3": {"name": "thing", '
        '"version": "1.2.3", "dist": {"tarball": "http://127.0.0.1/x.tgz", "shasum": "0"}}}}')
    proxy = pair()
    ended = programs.run(["npm", "view", "thing", "version", f"--registry=http://127.0.0.1:{site.port}/",
                          f"--proxy=http://{proxy.client.address}", f"--cache={folder}/npm",
                          "--noproxy=", "--fetch-retries=0"], cwd=folder, timeout=60,
                         env={**os.environ, "HOME": str(folder), "NO_PROXY": "", "no_proxy": ""})
    assert ended.returncode == 0 and ended.stdout.strip() == "1.2.3", ended.stdout + ended.stderr
    assert proxy.client.says("answered with 200")
