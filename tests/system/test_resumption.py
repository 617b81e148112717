"""Links may drop, streams may not: the real programs with a relay between them that cuts, stalls,
swallows and moves, at moments of its own.

MUXSOCKS_LONG=1 runs the outages and the chaos for as long as they would last for a user.
"""

import os
import random
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import muxsocks, programs, servers, socks
from support.deadline import seconds, wait_until
from support.exact import transfers

LONG = bool(os.environ.get("MUXSOCKS_LONG"))
CHAOS_TIME = "60s" if LONG else "5s"
OUTAGE = 60 if LONG else 4

QUICK_KEEPALIVE = {"keepalive": {"interval": "300ms", "timeout": "300ms"}}
LINK_BACK = r"link to .* is back"


def right(found):
    assert found["right"] and found["ok"] == found["transfers"], found


class Conversation:
    """A stream that must not notice anything: every say() is answered, in order."""

    def __init__(self, proxy, echo):
        self.connection = socks.connect(proxy.socks, "127.0.0.1", echo.port)
        self.count = 0

    def say(self, timeout=20):
        self.count += 1
        text = b"%08d" % self.count
        self.connection.sendall(text)
        assert servers.read_exactly(self.connection, 8, seconds(timeout)) == text

    def close(self):
        self.connection.close()


@pytest.fixture
def talking(pair, target):
    """`talking(client=..., ...)`: a pair with a relay, an echo, and a conversation under way."""
    conversations = []

    def start(**options):
        proxy = pair(**{"relay": [], **options})
        proxy.echo = target(servers.echo)
        proxy.talk = Conversation(proxy, proxy.echo)
        conversations.append(proxy.talk)
        proxy.talk.say()
        return proxy

    yield start
    for each in conversations:
        each.close()


@pytest.mark.parametrize("how", ["cut rst", "cut fin", "cut rst client", "cut rst server"])
def test_a_cut_link_is_not_noticed(talking, how):
    proxy = talking(server=QUICK_KEEPALIVE, client=QUICK_KEEPALIVE)
    for number in range(1, 6):
        proxy.relay.do(how)
        proxy.talk.say()
        proxy.client.wait_for_log(LINK_BACK, count=number)
    assert proxy.echo.accepted == 1 and proxy.echo.live == 1


def test_ends_survive_a_cut_link(talking, target):
    """FIN and RST that are under way when the link is cut arrive on the next one."""
    proxy = talking()
    ended = target(servers.echo)
    for style in ("fin", "rst", "fin", "rst"):
        connection = socks.connect(proxy.socks, "127.0.0.1", ended.port)
        connection.sendall(b"x")
        servers.read_exactly(connection, 1)
        proxy.relay.do("stall on")
        if style == "fin":
            connection.shutdown(socket.SHUT_WR)
        else:
            servers.reset(connection)
        proxy.relay.do("cut")
        proxy.relay.do("stall off")
        if style == "fin":
            assert servers.read_all(connection) == b""
        connection.close()
    wait_until(lambda: sorted(ended.ends) == ["ECONNRESET", "ECONNRESET", "closed", "closed"], 20,
               lambda: ended.ends)


CHAOS = {
    "cut every 300 ms": ["every 300ms cut"],
    "cut at random bytes, up": ["cut-after up 1-200000"],
    "cut at random bytes, down": ["cut-after down 1-200000 fin"],
    "stalls": ["every 300ms-600ms stall 200ms"],
    "half-open links": ["every 400ms cut rst client"],
    "half-open links, the other side": ["every 400ms cut rst server"],
    "another address each time": ["source random", "every 300ms cut"],
    "swallowed": ["every 1s swallow on"],
    "swallowed one way": ["every 1s swallow up on"],
    "everything": ["chaos 100ms-500ms"],
}


def test_all_of_a_clients_links_go_on_after_an_outage(pair, target):
    proxy = pair(server={"limits": {"user": {"sessions": 12}}}, client={"sessions": 12}, relay=[])
    proxy.wait_for_link(count=12)
    echo = target(servers.echo)
    talks = [Conversation(proxy, echo) for _ in range(24)]
    for each in talks:
        each.say()
    proxy.relay.do("refuse on")
    proxy.relay.do("cut rst")
    proxy.server.wait_for_log(r"wait to be resumed", count=12)
    proxy.relay.do("refuse off")
    for each in talks:
        each.say()
        each.close()
    assert echo.accepted == len(talks)


@pytest.mark.slow
@pytest.mark.parametrize("commands", CHAOS.values(), ids=CHAOS.keys())
@pytest.mark.parametrize("threads", [1, 2])
def test_bulk_transfers_through_chaos(pair, commands, threads):
    """Every byte right, every transfer ends."""
    if threads == 2 and not LONG and commands not in (CHAOS["everything"],
                                                      CHAOS["cut every 300 ms"]):
        pytest.skip("with one thread only, but for MUXSOCKS_LONG")
    proxy = pair(server={"threads": threads, **QUICK_KEEPALIVE}, client=QUICK_KEEPALIVE,
                 relay=["delay 5ms", "rate 400mbit", *commands])
    found = transfers(socks=proxy.client.address, for_=CHAOS_TIME, concurrency=20, up="0-3MiB",
                      down="0-3MiB", deadline="60s", timeout=150)
    right(found)
    assert found["ok"] >= 20
    if commands != CHAOS["stalls"]:
        assert proxy.client.says(LINK_BACK), "no link was resumed"


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="takes 25 s: MUXSOCKS_LONG=1")
@pytest.mark.parametrize("speaks", [False, True], ids=["idle", "with a request under way"])
def test_by_default_a_silent_link_is_noticed_in_25_seconds(talking, speaks):
    """Keepalive's interval and timeout; sooner when the client waits for an acknowledgement."""
    proxy = talking()
    proxy.relay.do("swallow on")
    began = time.monotonic()
    if speaks:
        proxy.talk.say(timeout=27)
    else:
        proxy.client.wait_for_log(LINK_BACK, timeout=27)
    taken = time.monotonic() - began
    print(f"back after {taken:.1f} s")
    assert taken < (7 if speaks else 26)
    proxy.talk.say()


def test_a_link_that_swallows_is_replaced(talking):
    proxy = talking(server=QUICK_KEEPALIVE, client=QUICK_KEEPALIVE)
    proxy.relay.do("swallow on")
    began = time.monotonic()
    proxy.talk.say()
    assert time.monotonic() - began < seconds(2)


def test_an_outage(talking, target):
    """Nothing passes and new links are swallowed, too; then the network is back."""
    proxy = talking(server=QUICK_KEEPALIVE, client=QUICK_KEEPALIVE)
    download = socks.connect(proxy.socks, "127.0.0.1", target(servers.source).port)
    servers.read_exactly(download, 100_000)
    proxy.relay.do("swallow on new")
    time.sleep(OUTAGE)
    proxy.relay.do("swallow off")
    proxy.talk.say(timeout=40)
    servers.read_exactly(download, 10_000_000, seconds(20))
    download.close()
    assert proxy.echo.live == 1


def test_a_refused_outage_and_the_first_request_after_it(talking):
    proxy = talking()
    proxy.relay.do("refuse on")
    proxy.relay.do("cut")
    time.sleep(OUTAGE / 2)
    waiting = []
    asked = threading.Thread(target=lambda: waiting.append(
        socks.rep_for(proxy.socks, "127.0.0.1", proxy.echo.port)))
    asked.start()
    time.sleep(0.3)
    proxy.relay.do("refuse off")
    asked.join(seconds(15))
    assert waiting == [socks.SUCCEEDED]
    proxy.talk.say()


def test_a_sleeping_machine_notices_when_it_wakes_up(talking, new_pair, target, folder):
    """CLOCK_BOOTTIME runs ahead (a preloaded library says so): the link is checked at once, long
    before keepalive would find out."""
    if not programs.takes_preloads():
        pytest.skip("nothing can be loaded in front of these programs")
    clock = folder / "boot-clock"
    clock.write_text("0")
    proxy = new_pair(relay=[])
    proxy.start_server()
    proxy.start_client(env={"LD_PRELOAD": programs.binary("libmuxsocks-boot-clock.so"),
                            "MUXSOCKS_BOOT_CLOCK": str(clock)})
    proxy.echo = target(servers.echo)
    talk = Conversation(proxy, proxy.echo)
    talk.say()
    proxy.relay.do("swallow on")
    clock.write_text("600000")
    began = time.monotonic()
    talk.say()
    assert time.monotonic() - began < seconds(3)
    talk.close()


def test_a_machine_that_slept_too_long_does_not_wait_for_its_old_link(new_pair, target, folder):
    """The server has given the session up meanwhile, and what it said about that did not arrive: the
    next session begins long before keepalive would find out."""
    if not programs.takes_preloads():
        pytest.skip("nothing can be loaded in front of these programs")
    clock = folder / "boot-clock"
    clock.write_text("0")
    proxy = new_pair(server={**QUICK_KEEPALIVE, "resume": {"timeout": "500ms"}}, relay=[])
    proxy.start_server()
    proxy.start_client(env={"LD_PRELOAD": programs.binary("libmuxsocks-boot-clock.so"),
                            "MUXSOCKS_BOOT_CLOCK": str(clock)})
    talk = Conversation(proxy, target(servers.echo))
    talk.say()
    proxy.relay.do("swallow on")
    proxy.server.wait_for_log("link from .* closed: the link was lost")
    assert not proxy.client.lines(muxsocks.LINK_DOWN)
    clock.write_text("600000")
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        servers.read_all(talk.connection, seconds(10))
    proxy.wait_for_link(2)
    assert time.monotonic() - began < seconds(2.5)
    talk.close()


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_stopped_process_goes_on(talking, target, role):
    """SIGSTOP for longer than keepalive allows, then SIGCONT."""
    proxy = talking(server=QUICK_KEEPALIVE, client=QUICK_KEEPALIVE)
    download = socks.connect(proxy.socks, "127.0.0.1", target(servers.source).port)
    servers.read_exactly(download, 100_000)
    program = getattr(proxy, role)
    program.send(signal.SIGSTOP)
    time.sleep(30 if LONG else 1.5)
    program.send(signal.SIGCONT)
    proxy.talk.say()
    servers.read_exactly(download, 5_000_000, seconds(20))
    download.close()


def test_a_killed_server_comes_back_and_resets_at_once(talking, target):
    """The new process knows nothing: every local connection gets a RST soon after the reconnect, and
    new requests work on the same TLS connection."""
    proxy = talking()
    source = target(servers.source)
    downloads = [socks.connect(proxy.socks, "127.0.0.1", source.port) for _ in range(10)]
    for download in downloads:
        servers.read_exactly(download, 10_000)
    proxy.server.kill()
    proxy.start_server()
    proxy.client.wait_for_log(r"does not know the session any more: \d+ streams", timeout=35)
    back = time.monotonic()
    for download in [*downloads, proxy.talk.connection]:
        with pytest.raises(ConnectionResetError):
            servers.read_all(download, seconds(10))
        download.close()
    assert time.monotonic() - back < seconds(1)
    assert socks.rep_for(proxy.socks, "127.0.0.1", proxy.echo.port) == socks.SUCCEEDED
    proxy.client.wait_for_log(r"link to \S+ is up", count=2)
    events = proxy.client.lines(r"does not know the session any more: \d+ streams|"
                                r"link to \S+ (failed:|is up)")
    forgotten = next(i for i, line in enumerate(events) if "does not know" in line)
    assert "is up" in events[forgotten + 1]  # no dial between the two


def test_a_retired_link_ends_with_its_session(talking):
    """Its stream goes on after a reload that replaces the link; a new server does not know it, and
    the link on which it said so is of no use."""
    proxy = talking()
    proxy.client.reload(muxsocks.merge(proxy.client.config, {"keepalive": {"interval": "14s"}}))
    proxy.wait_for_link(2)
    proxy.talk.say()
    proxy.server.kill()
    proxy.start_server()
    with pytest.raises(ConnectionResetError):
        servers.read_all(proxy.talk.connection, seconds(35))
    proxy.server.wait_for_log("ended before it authenticated")
    assert socks.rep_for(proxy.socks, "127.0.0.1", proxy.echo.port) == socks.SUCCEEDED


def test_a_session_expires(talking):
    """After resume.timeout the server lets go of the targets, and the client of its applications."""
    short = {"resume": {"timeout": "700ms"}}
    proxy = talking(server=short, client=short)
    proxy.relay.do("refuse on")
    proxy.relay.do("cut")
    wait_until(lambda: proxy.echo.live == 0, 10, "the server to give the session up")
    proxy.relay.do("refuse off")
    with pytest.raises(ConnectionResetError):
        servers.read_all(proxy.talk.connection, seconds(20))
    assert socks.rep_for(proxy.socks, "127.0.0.1", proxy.echo.port) == socks.SUCCEEDED


def test_a_detached_session_stops_reading(talking, target):
    """While the link is away, data waits in the kernel and in a bounded buffer, and nothing is lost."""
    proxy = talking(server={"memory": {"session": "16MiB", "stream_window": "4MiB"}},
                    client={"memory": {"session": "16MiB", "stream_window": "4MiB"}})
    data = random.Random(9).randbytes(40_000_000)
    received = []
    sink = target(lambda connection: received.append(servers.read_all(connection, 60)))
    upload = socks.connect(proxy.socks, "127.0.0.1", sink.port)
    proxy.relay.do("refuse on")
    proxy.relay.do("cut")
    before = proxy.client.resident_bytes()
    sender = threading.Thread(target=lambda: (upload.sendall(data),
                                              upload.shutdown(socket.SHUT_WR)))
    sender.start()
    time.sleep(1)
    grown = proxy.client.resident_bytes() - before
    proxy.relay.do("refuse off")
    sender.join()
    wait_until(lambda: received, 30, "the upload to arrive")
    assert received[0] == data
    if not programs.sanitizer():
        assert grown < 24 << 20, grown
    upload.close()


def test_dialling_anew_on_request(talking):
    proxy = talking()
    for number in range(1, 4):
        proxy.client.send(signal.SIGUSR2)
        proxy.client.wait_for_log(LINK_BACK, count=number)
        wait_until(lambda: proxy.relay.stats()["live"] == 1, 10, proxy.relay.stats)
        assert proxy.relay.stats()["accepted"] == 1 + number
        proxy.talk.say()


@pytest.fixture
def talking_to_one_of_two(talking, new_pair, target):
    """A conversation with one of two servers that know nothing of each other; the way to them is a
    balancer that sends the next link to the other one."""

    def start(**options):
        proxy = talking(**options)
        other = new_pair(server=options.get("server"))
        proxy.other = other.start_server()
        proxy.relay.do(f"target {proxy.other.address}")
        return proxy

    return start


STANDS = "the link that stands goes on"


def test_a_doubted_link_goes_on_when_another_server_answers(talking_to_one_of_two):
    proxy = talking_to_one_of_two()
    for number in range(1, 4):
        proxy.client.send(signal.SIGUSR2)
        proxy.client.wait_for_log(STANDS, count=number)
        proxy.talk.say()
    wait_until(lambda: proxy.relay.stats()["live"] == 1, 10, proxy.relay.stats)
    assert proxy.relay.stats()["accepted"] == 4  # one dial for each doubt
    proxy.relay.do(f"target {proxy.server.address}")
    proxy.client.send(signal.SIGUSR2)
    proxy.client.wait_for_log(LINK_BACK)
    proxy.talk.say()
    assert not proxy.client.lines("streams are reset")
    assert proxy.echo.accepted == 1


@pytest.mark.parametrize("end", ["cut", "swallow on"])
def test_a_doubted_link_that_is_dead_is_given_up_when_another_server_answers(talking_to_one_of_two,
                                                                             end):
    """Its end is seen, or keepalive finds out; then the session is over and the next one is good."""
    proxy = talking_to_one_of_two(client=QUICK_KEEPALIVE)
    proxy.relay.do(end)
    proxy.client.send(signal.SIGUSR2)
    with pytest.raises(ConnectionResetError):
        servers.read_all(proxy.talk.connection, seconds(10))
    assert socks.rep_for(proxy.socks, "127.0.0.1", proxy.echo.port) == socks.SUCCEEDED
    assert proxy.client.says("does not know the session any more: 1 streams are reset")


def test_a_server_that_gives_the_session_up_ends_the_old_link(talking):
    """The other half of the rule: when the right server refuses JOIN, the old link's end comes."""
    proxy = talking()
    users = [{"name": "alice", "token": "another-token-of-sufficient-length-0123"}]
    proxy.server.reload({**proxy.server.config, "users": users})
    proxy.client.send(signal.SIGUSR2)
    with pytest.raises(ConnectionResetError):
        servers.read_all(proxy.talk.connection, seconds(10))


def test_a_dial_that_hangs_is_begun_anew_on_request(talking, target):
    """Also while the link stands: the dial under way may have begun on a network that is gone."""
    proxy = talking(client={"timeouts": {"handshake": "60s"}})
    silent = target(lambda connection: servers.read_all(connection, 60))
    for number, before in enumerate([None, "cut"], start=1):
        proxy.relay.do(f"target 127.0.0.1:{silent.port}")
        proxy.client.send(signal.SIGUSR2)
        wait_until(lambda: silent.accepted == number, 10, "the dial to hang")
        if before:
            proxy.relay.do("cut oldest")
            proxy.client.wait_for_log(r"link to .* (lost|closed while)")
        proxy.relay.do(f"target 127.0.0.1:{proxy.server.port}")
        proxy.client.send(signal.SIGUSR2)
        proxy.client.wait_for_log(LINK_BACK, count=number)
        proxy.talk.say()


def test_a_change_of_the_route_to_the_server_is_noticed(new_pair, internet):
    """Another source address, another gateway: the link is dialled anew. A network that the link
    does not use, such as a container's, does not disturb it."""
    proxy = new_pair(client={"log": {"level": "debug"}})
    internet.start_apart(proxy)
    proxy.client.wait_for_log(muxsocks.LINK_UP)
    moved = other = 0
    for command, moves in [
            ("address add 198.20.0.3/24 dev wire", False),
            ("route change 198.20.0.0/24 dev wire src 198.20.0.3", True),
            ("link add br0 type bridge", None), ("address add 172.31.0.1/16 dev br0", None),
            ("link set br0 up", False),
            ("route add default via 198.20.0.2 dev wire", False),
            ("link del br0", False),
            ("route add 198.20.0.2/32 via 198.20.0.2 dev wire onlink", True)]:
        internet.here.ip(command)
        if moves:
            moved += 1
            proxy.client.wait_for_log("the network has changed; checking it", count=moved)
            proxy.client.wait_for_log(LINK_BACK, count=moved)
        elif moves is False:
            other += 1
            proxy.client.wait_for_log("the network has changed, but not the route there", count=other)
    assert len(proxy.client.lines(LINK_BACK)) == moved
    assert len(proxy.client.lines("checking it")) == moved
    internet.here.ip("link set wire down")
    proxy.client.wait_for_log("the network has changed; checking it", count=moved + 1)
    internet.here.ip("link set wire up")
    proxy.client.wait_for_log(LINK_BACK, count=moved + 1)


def test_small_turns_on_a_long_way_hold_little_memory(pair, target):
    """1,000 turns a second at a round trip of 200 ms."""
    proxy = pair(relay=["delay 100ms"])
    connections = [socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port)
                   for _ in range(10)]
    done = threading.Event()

    def speak(connection):
        next_turn = time.monotonic()
        while not done.is_set():
            connection.sendall(b"a small turn, such as a shell's line")
            next_turn += 0.01
            time.sleep(max(0, next_turn - time.monotonic()))

    speakers = [threading.Thread(target=speak, args=(each,)) for each in connections]
    for each in speakers:
        each.start()
    held = []
    end = time.monotonic() + (20 if LONG else 2)
    while time.monotonic() < end:
        held.append(max(each.statistics()["held"] for each in proxy.programs))
        time.sleep(0.2)
    done.set()
    for each in speakers:
        each.join()
    print(f"held: {max(held)} bytes at most")
    assert 0 < max(held) < 1 << 20
    for each in connections:
        servers.reset(each)


def test_sessions_without_a_client_go_first_when_memory_is_short(pair, new_pair, target):
    """What they hold is for those whose clients are there, before one of their streams is shed."""
    may_read = threading.Event()
    received = []

    def late_sink(connection):
        may_read.wait()
        received.append(len(servers.read_all(connection, 60)))

    slow = target(late_sink)
    slow.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    first = pair(server={"memory": {"total": "2MiB", "stream_window": "256KiB"}, "threads": 1})
    second = new_pair(client={"server": first.server.address})
    second.start_client()

    def fill(proxy):
        """Uploads that nobody reads, until nothing moves any more; returns them and their bytes."""
        uploads = [socks.connect(proxy.socks, "127.0.0.1", slow.port) for _ in range(5)]
        sent = dict.fromkeys(uploads, 0)
        moved = time.monotonic()
        while time.monotonic() - moved < 0.7:
            for each in select.select([], uploads, [], 0.1)[1]:
                each.setblocking(False)
                sent[each] += each.send(bytes(1 << 16))
                moved = time.monotonic()
        return sent

    abandoned = fill(first)
    assert first.server.statistics()["held"] > 1 << 20
    first.client.kill()
    first.server.wait_for_log("streams wait to be resumed")
    sent = fill(second)
    first.server.wait_for_log("given up for sessions that have a link")
    may_read.set()
    for each in sent:
        each.setblocking(True)
        each.shutdown(socket.SHUT_WR)
        assert servers.read_all(each, seconds(30)) == b""
    assert sorted(received[-5:]) == sorted(sent.values())
    for each in (*abandoned, *sent):
        each.close()


def test_a_removed_user_cannot_resume(talking):
    proxy = talking()
    users = [{"name": "bob", "token": "another-token-of-sufficient-length-0123"}]
    proxy.server.reload({**proxy.server.config, "users": users})
    with pytest.raises(ConnectionError):
        while True:
            proxy.talk.say()
            time.sleep(0.05)


def test_a_plain_link_resumes_too(pair, target):
    proxy = pair(server={"tls": {"enabled": False, "cert": None, "key": None}},
                 client={"tls": {"enabled": False, "ca": None}}, relay=["every 100ms-200ms cut"])
    right(transfers(socks=proxy.client.address, for_="2s", concurrency=10, up="0-500KiB",
                    down="0-500KiB"))


def test_nothing_is_left_after_many_resumptions(talking):
    proxy = talking()
    sockets = [each.sockets() for each in proxy.programs]
    for _ in range(20):
        proxy.relay.do("cut")
        proxy.talk.say()
    wait_until(lambda: [each.sockets() for each in proxy.programs] == sockets, 10,
               lambda: f"{sockets}: {[each.descriptors() for each in proxy.programs]}")


@pytest.mark.slow
def test_ssh_and_curl_live_through_an_outage(pair, website, ssh_server, folder):
    from support.web import random_file, sha256_of
    site = website()
    digest = random_file(site.folder / "file", 200 << 20)
    port, options = ssh_server
    proxy = pair(server=QUICK_KEEPALIVE, client=QUICK_KEEPALIVE, relay=["rate 400mbit"])
    shell = subprocess.Popen(
        ["ssh", *options, "-p", str(port), "-o",
         f"ProxyCommand=nc -X 5 -x {proxy.client.address} %h %p", "127.0.0.1",
         "while read line; do echo got $line; done"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    fetched = folder / "fetched"
    curl = subprocess.Popen(["curl", "--silent", "--show-error", "--fail", "--proxy",
                             f"socks5h://{proxy.client.address}",
                             f"http://127.0.0.1:{site.port}/file", "-o", fetched])
    try:
        shell.stdin.write("one\n")
        assert shell.stdout.readline() == "got one\n"
        wait_until(lambda: fetched.exists() and fetched.stat().st_size > 1 << 20, 10,
                   "curl to have begun")
        proxy.relay.do("swallow on new")
        time.sleep(OUTAGE)
        assert curl.poll() is None and shell.poll() is None
        proxy.relay.do("swallow off")
        shell.stdin.write("two\n")
        assert shell.stdout.readline() == "got two\n"
        assert curl.wait(seconds(60)) == 0
        assert sha256_of(fetched) == digest
    finally:
        shell.kill()
        shell.wait()
        shell.stdin.close()
        shell.stdout.close()
        curl.kill()
        curl.wait()


def test_statistics_tell_of_resumptions(talking):
    proxy = talking()
    proxy.relay.do("cut")
    proxy.talk.say()
    for each in proxy.programs:
        found = each.statistics()
        assert (found["streams"], found["resumed"]) == (1, 1), found
