"""What is an application's goes on in the next client: whatever it speaks, and however far it is."""

import base64
import select
import socket
import struct

import pytest

from support import http, servers, socks, udp_tunnel
from support.deadline import seconds, wait_until
from support.dns_server import Answer
from support.status import document

GREETING = b"\x05\x01\x00"
USERS = [{"username": "ann", "password": "secret"}]
BODY = bytes(range(256)) * 8_000


@pytest.fixture
def serving(new_place):
    return lambda **settings: new_place("client", **settings)


def login(user, password):
    return bytes([1, len(user)]) + user + bytes([len(password)]) + password


def assert_echo(connection, text=b"over there"):
    connection.sendall(text)
    assert servers.read_exactly(connection, len(text), seconds(20)) == text


@pytest.mark.parametrize("said", [0, 2, 4, 12])
def test_a_request_of_which_a_part_has_come(serving, target, said):
    place = serving()
    all_of_it = GREETING + socks.request_bytes("127.0.0.1", target(servers.echo).port)
    with socks.open_connection(place.pair.socks) as connection:
        connection.sendall(all_of_it[:said])
        if said >= 3:
            assert servers.read_exactly(connection, 2, seconds(20)) == b"\x05\x00"
        place.take_over()
        connection.sendall(all_of_it[said:])
        if said < 3:
            assert servers.read_exactly(connection, 2, seconds(20)) == b"\x05\x00"
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        assert_echo(connection)


def test_a_password_that_was_taken_is_not_asked_again(serving, target):
    place = serving(client={"users": USERS})
    with socks.open_connection(place.pair.socks) as connection:
        connection.sendall(b"\x05\x01\x02" + login(b"ann", b"secret"))
        assert servers.read_exactly(connection, 4, seconds(20)) == b"\x05\x02\x01\x00"
        place.take_over()
        connection.sendall(socks.request_bytes("127.0.0.1", target(servers.echo).port))
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        assert_echo(connection)


def test_a_password_that_holds_no_more_lets_nobody_in(serving, target):
    place = serving(client={"users": USERS})
    with socks.open_connection(place.pair.socks) as connection:
        connection.sendall(b"\x05\x01\x02" + login(b"ann", b"secret"))
        assert servers.read_exactly(connection, 4, seconds(20)) == b"\x05\x02\x01\x00"
        place.pair.client_settings["users"] = [{"username": "ann", "password": "another"}]
        place.take_over()
        connection.sendall(socks.request_bytes("127.0.0.1", target(servers.echo).port))
        connection.settimeout(seconds(20))
        try:
            assert connection.recv(100) == b""
        except ConnectionResetError:
            pass


def test_a_wrong_password_is_answered_in_the_next_process(serving):
    place = serving(client={"users": USERS})
    with socks.open_connection(place.pair.socks) as connection:
        connection.sendall(b"\x05\x01\x02" + login(b"ann", b"guessed"))
        assert servers.read_exactly(connection, 2, seconds(20)) == b"\x05\x02"
        place.take_over()
        assert servers.read_exactly(connection, 2, seconds(20)) == b"\x01\x01"


def request_of(language, host, port):
    if language == "socks4":
        return b"\x04\x01" + struct.pack(">H", port) + socket.inet_aton(host) + b"me\x00"
    if language == "connect":
        return f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    return GREETING + socks.request_bytes(host, port)


def read_success(language, connection):
    if language == "socks4":
        assert servers.read_exactly(connection, 8, seconds(20))[:2] == b"\x00\x5a"
    elif language == "connect":
        assert http.read_answer(connection).status == 200
    else:
        assert socks.read_reply(connection).rep == socks.SUCCEEDED


@pytest.mark.parametrize("language", ["socks5", "socks4", "connect"])
def test_a_request_that_waits_for_a_link(serving, target, language):
    place = serving(client={"timeouts": {"wait": "60s"}})
    pair = place.pair
    pair.server.kill()
    pair.client.says("wait to be resumed|link to .* failed")
    with socks.open_connection(pair.socks) as connection:
        connection.sendall(request_of(language, "127.0.0.1", target(servers.echo).port) + b"early")
        if language == "socks5":
            assert servers.read_exactly(connection, 2, seconds(20)) == b"\x05\x00"
        place.take_over()
        place.take_over()
        assert not select.select([connection], [], [], 0.2)[0], "it was answered, or reset"
        pair.start_server()
        read_success(language, connection)
        assert servers.read_exactly(connection, 5, seconds(20)) == b"early"
        assert_echo(connection)


@pytest.mark.parametrize("language", ["socks5", "socks4", "connect"])
def test_a_request_whose_target_has_not_answered(serving, target, language):
    place = serving()
    with servers.unanswering() as silent, socks.open_connection(place.pair.socks) as waits:
        waits.sendall(request_of(language, "127.0.0.1", silent))
        if language == "socks5":
            assert servers.read_exactly(waits, 2, seconds(20)) == b"\x05\x00"
        wait_until(lambda: place.process.statistics()["streams"] == 1, 20, "the stream")
        place.take_over()
        assert not select.select([waits], [], [], 0.2)[0], "it was answered, or reset"


def test_ends_of_all_kinds(serving, target):
    place = serving()
    resets = target(servers.greet_and(servers.reset))
    half = target(servers.sink)
    with socks.connect(place.pair.socks, "127.0.0.1", resets.port) as reset, \
            socks.connect(place.pair.socks, "127.0.0.1", half.port) as ended:
        assert servers.read_exactly(reset, 5, seconds(20)) == b"hello"
        ended.sendall(b"all that I have")
        place.take_over()
        reset.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            reset.settimeout(seconds(20))
            reset.recv(100)
        ended.shutdown(socket.SHUT_WR)
        assert servers.read_all(ended, seconds(20)) == b"15"


def answer_http(connection, parts):
    """Reads a request's head, then sends the parts; each after the first waits for its event."""
    while b"\r\n\r\n" not in connection.recv(65536, socket.MSG_PEEK):
        pass
    connection.recv(65536)
    for wait, part in parts:
        if wait:
            wait.wait(60)
        connection.sendall(part)


def get(target, fields=""):
    return f"GET http://{target.address}/x HTTP/1.1\r\nHost: {target.address}\r\n{fields}\r\n".encode()


CHUNKED = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
           b"%x\r\n" % len(BODY) + BODY + b"\r\n", b"3\r\nend\r\n0\r\n\r\n")
SIZED = (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(BODY) + 3), BODY, b"end")
HEAD_CUT = (b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 3\r\n\r\n", b"end")


@pytest.mark.parametrize("cut", [0, 10, 40, 1_000_000, len(BODY)])
@pytest.mark.parametrize("answer", [CHUNKED, SIZED, HEAD_CUT], ids=["chunked", "sized", "head"])
def test_plain_http_within_an_answer(serving, target, event, answer, cut):
    whole = b"".join(answer)
    cut = min(cut, len(whole) - 4)
    rest = event()

    def serve(connection):
        for _ in range(2):
            answer_http(connection, [(None, whole[:cut]), (rest, whole[cut:])])
        connection.recv(1)  # Its end is the proxy's.

    site = target(serve)
    place = serving()
    with socket.create_connection(place.pair.socks) as connection:
        for _ in range(2):
            connection.sendall(get(site))
            if cut > 100_000:
                wait_until(lambda: len(connection.recv(1 << 20, socket.MSG_PEEK)) > 10_000, 20, "bytes")
            else:
                wait_until(lambda: place.process.statistics()["streams"] == 1, 20, "the stream")
            place.take_over()
            rest.set()
            head = http.read_head(connection)
            body = servers.read_exactly(connection, len(whole) - whole.index(b"\r\n\r\n") - 4,
                                        seconds(20))
            assert body == whole[whole.index(b"\r\n\r\n") + 4:], head
        # The target's connection was kept for the second request.
        assert site.accepted == 1


def test_plain_http_within_a_request_and_between_two(serving, target):
    seen = []

    def serve(connection):
        while True:
            head = http.read_head(connection)
            length = int(head.lower().split("content-length: ")[1].split("\r")[0])
            seen.append(servers.read_exactly(connection, length, seconds(60)))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    site = target(serve)
    place = serving()
    post = (f"POST http://{site.address}/x HTTP/1.1\r\nHost: {site.address}\r\n"
            f"Content-Length: {len(BODY)}\r\n\r\n").encode() + BODY
    with socket.create_connection(place.pair.socks) as connection:
        for cut in (0, 30, len(post) - len(BODY) + 5, len(post) - 1, len(post)):
            connection.sendall(post[:cut])
            place.take_over()
            connection.sendall(post[cut:])
            assert http.read_answer(connection).body == b"ok"
            assert seen.pop() == BODY
    assert site.accepted == 1


def test_plain_http_that_waits_for_a_link(serving, target):
    place = serving(client={"timeouts": {"wait": "60s"}})
    pair = place.pair
    pair.server.kill()
    pair.client.says("wait to be resumed|link to .* failed")
    site = target(lambda connection: answer_http(connection, [(None, b"".join(SIZED))]))
    with socket.create_connection(pair.socks) as connection:
        connection.sendall(get(site))
        place.take_over()
        place.take_over()
        assert not select.select([connection], [], [], 0.2)[0], "it was answered, or reset"
        pair.start_server()
        assert http.read_answer(connection, 40).body == BODY + b"end"


def test_a_web_socket_goes_on(serving, target):
    def serve(connection):
        http.read_head(connection)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        servers.echo(connection)

    site = target(serve)
    place = serving()
    with socket.create_connection(place.pair.socks) as connection:
        connection.sendall(get(site, "Upgrade: x\r\nConnection: upgrade\r\n"))
        assert " 101 " in http.read_head(connection)
        assert_echo(connection, b"here")
        place.take_over()
        assert_echo(connection)
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection, seconds(20)) == b""


def test_a_wrong_login_of_http_may_be_mended_afterwards(serving, target):
    place = serving(client={"users": USERS})
    echo = target(servers.echo)

    def connect_with(password):
        word = base64.b64encode(f"ann:{password}".encode()).decode()
        return (f"CONNECT {echo.address} HTTP/1.1\r\nHost: {echo.address}\r\n"
                f"Proxy-Authorization: Basic {word}\r\n\r\n").encode()

    with socket.create_connection(place.pair.socks) as connection:
        connection.sendall(connect_with("guessed"))
        assert http.read_answer(connection).status == 407
        place.take_over()
        connection.sendall(connect_with("secret"))
        assert http.read_answer(connection, 40).status == 200
        assert_echo(connection)


def assert_answered(tunnel, text):
    """Datagrams may be lost, and those of before be answered still."""
    wait_until(lambda: udp_tunnel.ask(tunnel, text) == text, 20, "the answer")


def test_a_udp_tunnel_of_http_goes_along(serving, udp_target):
    """With its port at the server, and the capsule of which a part has come."""
    echo = udp_target()
    place = serving()
    with udp_tunnel.open_tunnel(place.pair, "127.0.0.1", echo.port) as connection:
        for number in range(3):
            assert_answered(connection, b"before %d" % number)
            whole = udp_tunnel.capsule(b"cut %d" % number)
            connection.sendall(whole[:3 + number])
            place.take_over()
            connection.sendall(whole[3 + number:])
            assert_answered(connection, b"behind %d" % number)
        assert len(set(echo.senders)) == 1
    wait_until(lambda: place.process.statistics()["streams"] == 0, 20, "its end")


def test_a_udp_tunnel_of_http_that_is_not_open_yet_goes_along(serving, dns, udp_target):
    dns.records["slow.test"] = Answer(silent=True)
    place = serving(server={"dns": {"servers": [dns.address], "timeout": "30s"}})
    echo = udp_target()
    with socket.create_connection(place.pair.socks) as connection:
        connection.sendall(udp_tunnel.request("slow.test", echo.port, place.pair)
                           + udp_tunnel.capsule(b"early"))
        wait_until(lambda: dns.queries, 20, "the name to be looked up")
        place.take_over()
        dns.records["slow.test"] = ["127.0.0.1"]
        assert " 101 " in http.read_head(connection)
        assert_answered(connection, b"late")


def test_a_udp_tunnel_of_http_that_waits_for_a_link_goes_along(serving, udp_target):
    place = serving(client={"timeouts": {"wait": "60s"}})
    echo = udp_target()
    place.pair.server.kill()
    place.pair.client.says("wait to be resumed|link to .* failed")
    with socket.create_connection(place.pair.socks) as connection:
        connection.sendall(udp_tunnel.request("127.0.0.1", echo.port, place.pair))
        where = place.runtime / "muxsocks-client.sock"
        wait_until(lambda: document(where, "/v1/status")["waiting"] == 1, 20, "the request to wait")
        place.take_over()
        place.take_over()
        place.pair.start_server()
        connection.settimeout(seconds(20))
        assert " 101 " in http.read_head(connection)
        assert_answered(connection, b"x")


def test_a_udp_tunnel_of_http_ends_where_the_next_client_has_no_udp(serving, udp_target):
    place = serving()
    with udp_tunnel.open_tunnel(place.pair, "127.0.0.1", udp_target().port) as connection:
        place.pair.client_settings["udp"] = {"enabled": False}
        place.take_over()
        connection.settimeout(seconds(20))
        with pytest.raises(ConnectionResetError):
            connection.recv(10)


DIRECT = {"direct": ["127.0.0.1"]}


def test_connections_that_go_direct_go_along(serving, target):
    place = serving(client=DIRECT)
    resets = target(servers.greet_and(servers.reset))
    counts = target(servers.sink)
    stuffed = target(lambda connection: connection.sendall(BODY * 10))
    proxy = place.pair.socks
    with socks.connect(proxy, "127.0.0.1", resets.port) as reset, \
            socks.connect(proxy, "127.0.0.1", counts.port) as ended, \
            socks.connect(proxy, "127.0.0.1", target(servers.echo).port) as echoes, \
            socks.connect(proxy, "127.0.0.1", stuffed.port) as unread:
        assert servers.read_exactly(reset, 5, seconds(20)) == b"hello"
        ended.sendall(b"all that I have")
        place.take_over()
        place.take_over()
        assert_echo(echoes)
        reset.sendall(b"x")
        reset.settimeout(seconds(20))
        with pytest.raises(ConnectionResetError):
            reset.recv(100)
        ended.shutdown(socket.SHUT_WR)
        assert servers.read_all(ended, seconds(20)) == b"15"
        assert servers.read_all(unread, seconds(20)) == BODY * 10


def test_a_direct_dial_that_is_under_way_goes_on(serving, target):
    place = serving(client=DIRECT)
    with servers.unanswering() as silent, socks.open_connection(place.pair.socks) as connection:
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("127.0.0.1", silent))
        place.take_over()
        assert not select.select([connection], [], [], 0.2)[0], "it was answered, or reset"


@pytest.mark.parametrize("cut", [0, 10, 1_000_000, len(BODY)])
@pytest.mark.parametrize("answer", [CHUNKED, SIZED], ids=["chunked", "sized"])
def test_plain_http_that_goes_direct(serving, target, event, answer, cut):
    whole = b"".join(answer)
    rest = event()

    def serve(connection):
        for _ in range(2):
            answer_http(connection, [(None, whole[:cut]), (rest, whole[cut:])])
        connection.recv(1)  # Its end is the proxy's.

    site = target(serve)
    place = serving(client=DIRECT)
    with socket.create_connection(place.pair.socks) as connection:
        for _ in range(2):
            connection.sendall(get(site))
            if cut > 100_000:
                wait_until(lambda: len(connection.recv(1 << 20, socket.MSG_PEEK)) > 10_000, 20, "bytes")
            else:
                wait_until(lambda: site.accepted, 20, "the connection")
            place.take_over()
            rest.set()
            http.read_head(connection)
            size = len(whole) - whole.index(b"\r\n\r\n") - 4
            assert servers.read_exactly(connection, size, seconds(20)) == whole[-size:]
        assert site.accepted == 1


def test_unix_sockets_of_applications_go_along(serving, target, runtime):
    path = runtime / "socks.sock"
    place = serving()
    place.pair.client_settings["listen"] = [place.pair.client.address, f"unix:{path}"]
    place.process.reload(place.pair.client_settings)
    place.process.says(f"listening for applications on unix:{path}", 10)
    echo = target(servers.echo)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds(20))
        connection.connect(str(path))
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("127.0.0.1", echo.port))
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        place.take_over()
        assert_echo(connection)


def test_a_server_that_is_configured_no_more_keeps_its_streams(serving, new_pair, target):
    place = serving()
    other = new_pair()
    other.start_server()
    with socks.connect(place.pair.socks, "127.0.0.1", target(servers.echo).port) as connection:
        place.pair.client_settings["server"] = other.server.address
        place.take_over()
        assert_echo(connection)
        other.server.says("link from .* is up")
        with socks.connect(place.pair.socks, "127.0.0.1", target(servers.echo).port) as new:
            assert_echo(new)
    wait_until(lambda: place.process.statistics()["links"] == 1, 20, "the old link to end")


def test_several_threads_and_sessions(serving, target):
    settings = {"threads": 2, "sessions": 2}
    place = serving(client=settings, server={"threads": 2})
    place.pair.wait_for_link(2)
    echo = target(servers.echo)
    with socks.connect(place.pair.socks, "127.0.0.1", echo.port) as first, \
            socks.connect(place.pair.socks, "127.0.0.1", echo.port) as second:
        for number in (3, 1, 2):
            place.pair.client_settings.update(sessions=number, threads=min(number, 2))
            place.take_over()
            assert_echo(first)
            assert_echo(second)
            with socks.connect(place.pair.socks, "127.0.0.1", echo.port) as new:
                assert_echo(new)
