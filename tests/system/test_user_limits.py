"""What one user may hold over all of its sessions (limits.user), and that others go on beside it."""

import struct

import pytest
from support import servers, socks
from support.deadline import seconds, wait_until
from support.link_peer import DATA, RST, LinkPeer, frame, opening

USERS = [{"name": name, "token": f"{name}-has-a-token-of-thirty-two-characters"}
         for name in ("greedy", "honest")]
REFUSED = struct.pack(">I", 1)
SHED = struct.pack(">I", 5)


@pytest.fixture
def users_apart(new_pair):
    """A server with these limits for each of two users, and the client of the honest one. Without
    TLS, for peers of tests; `greedy` is their user."""
    def start(**limits):
        proxy = new_pair(server={"users": USERS, "threads": 2, "limits": {"user": limits},
                                 "tls": {"enabled": False}},
                         client={"tls": {"enabled": False},
                                 "auth": {"user": "honest", "token": USERS[1]["token"]}})
        return proxy.start()
    return start


@pytest.fixture
def greedy_client(new_pair):
    """Another client of such a server, of the greedy user."""
    def start(proxy, **options):
        second = new_pair(client={"server": proxy.server.address, "tls": {"enabled": False},
                                  "auth": {"user": "greedy", "token": USERS[0]["token"]},
                                  **options})
        second.start_client()
        return second
    return start


def peer_of(proxy):
    return LinkPeer(proxy.server.endpoint, "greedy", USERS[0]["token"])


def is_taken(proxy):
    """Whether one more session of the greedy user is."""
    peer = peer_of(proxy)
    try:
        return peer.works()
    except (AssertionError, OSError):
        return False
    finally:
        peer.close()


def test_sessions(users_apart, target):
    """One more is told why; those that are there, and others, go on."""
    proxy = users_apart(sessions=2)
    peers = [peer_of(proxy) for _ in range(2)]
    for _ in range(3):
        assert peer_of(proxy).receive_close() == (
            6, "the user has 2 sessions already, each with a link (limits.user.sessions)")
    assert proxy.server.says(r"link from greedy@\S+ refused: the user has 2 sessions already, each "
                             r"with a link \(limits.user.sessions\)")
    assert all(each.works() for each in peers)
    assert socks.rep_for(proxy.socks, "127.0.0.1", target(servers.echo).port) == socks.SUCCEEDED
    peers[0].close()
    wait_until(lambda: is_taken(proxy), 10, proxy.server.last_words)


def test_a_new_session_takes_the_place_of_one_without_a_link(new_pair, target):
    """The one that has been without for longest; the other is resumed."""
    proxy = new_pair(server={"limits": {"user": {"sessions": 2}}}, relay=[]).start()
    echo = target(servers.echo)
    second = new_pair(client={"server": proxy.server.address})
    second.start_client()
    talk = socks.connect(second.socks, "127.0.0.1", echo.port)
    socks.connect(proxy.socks, "127.0.0.1", echo.port)
    proxy.relay.do("refuse on")
    proxy.relay.do("cut rst")
    proxy.server.wait_for_log("wait to be resumed")
    third = new_pair(client={"server": proxy.server.address})
    third.start_client()
    assert proxy.server.says(r"session of alice\S*: given up for a newer one of its user "
                             r"\(limits.user.sessions\)")
    assert socks.rep_for(third.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    talk.sendall(b"x")
    assert servers.read_exactly(talk, 1) == b"x"


def test_streams_over_all_sessions(users_apart, target):
    proxy = users_apart(streams=5)
    echo = target(servers.echo)
    peers = [peer_of(proxy) for _ in range(2)]
    request = socks.request_bytes("127.0.0.1", echo.port)

    def open_stream(peer, number):
        peer.send(opening(number, request))
        _, flags, payload = peer.receive_until(lambda stream, flags, _: stream == number and
                                               flags in (DATA, RST))
        return (flags, payload[8:10]) if flags == DATA else (flags, payload)

    taken = (DATA, b"\x05\x00")
    assert [open_stream(peers[i % 2], 1 + 2 * (i // 2)) for i in range(5)] == [taken] * 5
    assert open_stream(peers[1], 5) == (RST, REFUSED)
    assert proxy.server.says(r"a stream of greedy@\S+ was refused: its user has 5 already "
                             r"\(limits.user.streams\)")
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    peers[0].send(frame(1, RST, struct.pack(">I", 2)))
    numbers = iter(range(7, 1000, 2))
    wait_until(lambda: open_stream(peers[1], next(numbers)) == taken, 10, proxy.server.last_words)


def test_files(users_apart, greedy_client, target):
    """Requests above them get REP 01, and the session goes on."""
    proxy = users_apart(files=3)
    echo = target(servers.echo)
    second = greedy_client(proxy)
    held = [socks.connect(second.socks, "127.0.0.1", echo.port) for _ in range(3)]
    assert socks.rep_for(second.socks, "127.0.0.1", echo.port) == socks.GENERAL_FAILURE
    assert proxy.server.says(r"a request of greedy was refused: it has 3 sockets already "
                             r"\(limits.user.files\)")
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    held.pop().close()
    wait_until(lambda: socks.rep_for(second.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED, 10,
               proxy.server.last_words)


@pytest.mark.slow
def test_memory_that_the_kernel_holds_for_streams_without_credit(new_pair, target):
    """It is their user's: of 200 downloads that are not taken most are reset, and others go on."""
    proxy = new_pair(server={"users": USERS, "tls": {"enabled": False}, "memory": {"total": "8MiB"}},
                     client={"tls": {"enabled": False},
                             "auth": {"user": "honest", "token": USERS[1]["token"]}}).start()
    talk = socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port)
    peer = LinkPeer(proxy.server.endpoint, "greedy", USERS[0]["token"], window=16)
    peer.link.settimeout(seconds(60))
    request = socks.request_bytes("127.0.0.1", target(servers.source).port)
    peer.send(b"".join(opening(number, request) for number in range(1, 401, 2)))
    for _ in range(100):
        peer.receive_until(lambda stream, flags, payload: (flags, payload) == (RST, SHED))
    talk.sendall(b"x")
    assert servers.read_exactly(talk, 1) == b"x"
    assert proxy.server.statistics()["links"] == 2
    peer.close()


def test_limits_change_with_a_reload(users_apart, greedy_client, target):
    proxy = users_apart(streams=2)
    echo = target(servers.echo)
    second = greedy_client(proxy, timeouts={"wait": "200ms"})
    held = [socks.connect(second.socks, "127.0.0.1", echo.port) for _ in range(2)]
    assert socks.rep_for(second.socks, "127.0.0.1", echo.port) == socks.GENERAL_FAILURE
    config = proxy.server.config
    config["users"][1]["limits"] = {"streams": 1}
    config["users"][0]["limits"] = {"streams": 100}
    proxy.server.reload(config)
    proxy.server.wait_for_log("configuration reloaded")
    held.append(socks.connect(proxy.socks, "127.0.0.1", echo.port))
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.GENERAL_FAILURE
    for each in held:
        each.close()


def test_descriptors_are_kept_for_links_and_for_users_who_have_few(new_pair, greedy_client, target):
    """Whoever opens streams without end leaves some."""
    proxy = new_pair(server={"users": USERS, "threads": 1, "tls": {"enabled": False}},
                     client={"tls": {"enabled": False},
                             "auth": {"user": "honest", "token": USERS[1]["token"]}})
    proxy.start_server(prefix=["prlimit", "--nofile=200:200"])
    second = greedy_client(proxy)
    echo = target(servers.echo)
    held, reps = [], []
    for _ in range(200):
        connection, reply = socks.ask(second.socks, "127.0.0.1", echo.port)
        held.append(connection)
        reps.append(reply.rep)
    assert 100 < reps.count(socks.SUCCEEDED) < 160, reps
    assert proxy.server.says(r"a request of greedy was refused: \d+ sockets to targets are open")
    proxy.start_client()
    for _ in range(5):
        held.append(socks.connect(proxy.socks, "127.0.0.1", echo.port))
    assert not proxy.server.lines("no file descriptor left")
    for each in held:
        each.close()
