"""UDP ASSOCIATE: datagrams of all sizes to anywhere and back, who may use an association, what is
denied, and that nothing is left of associations that have ended."""

import contextlib
import os
import socket
import threading

import pytest

from support import programs, servers, socks, udp
from support.deadline import seconds, wait_until

SIZES = [0, 1, 2, 100, 512, 1_199, 1_472, 1_473, 4_096, 8_192, 9_000, 16_360, 16_377, 16_384, 32_768,
         65_000, 65_482, 65_497, 65_507]
# With the SOCKS header a datagram is 10 bytes longer on the way from the application, and back.
LARGEST = 65_507 - 10


def descriptors(program):
    return len(os.listdir(f"/proc/{program.pid}/fd"))


def udp_sockets(program):
    """How many UDP sockets the program has."""
    found = 0
    inodes = set()
    for kind in ("udp", "udp6"):
        with open(f"/proc/{program.pid}/net/{kind}", encoding="ascii") as table:
            inodes |= {line.split()[9] for line in table.readlines()[1:]}
    for name in os.listdir(f"/proc/{program.pid}/fd"):
        try:
            where = os.readlink(f"/proc/{program.pid}/fd/{name}")
        except FileNotFoundError:
            continue
        found += where.startswith("socket:[") and where[8:-1] in inodes
    return found


def test_datagrams_of_all_sizes(pair, udp_target):
    echo = udp_target()
    proxy = pair()
    with udp.Association(proxy.socks) as one:
        assert (one.reply.bnd_addr, one.reply.rep) == ("127.0.0.1", socks.SUCCEEDED)
        for size in SIZES:
            payload = os.urandom(min(size, LARGEST))
            assert one.ask(payload, "127.0.0.1", echo.port) == (("127.0.0.1", echo.port), payload)


def test_many_datagrams_in_order(pair, udp_target):
    echo = udp_target()
    proxy = pair(server={"udp": {"max_delay": "10s"}}, client={"udp": {"max_delay": "10s"}})
    with udp.Association(proxy.socks) as one:
        for begin in range(0, 1_000, 50):
            for number in range(begin, begin + 50):
                one.send(b"%06d" % number, "127.0.0.1", echo.port)
            assert [one.receive()[1] for _ in range(50)] == [b"%06d" % n for n in range(begin, begin + 50)]


def test_a_name_in_a_datagram(pair, udp_target, dns):
    echo = udp_target()
    proxy = pair(server={"dns": {"servers": [dns.address], "prefer": "ipv4"}})
    with udp.Association(proxy.socks) as one:
        # The sender is told as an address, which every client can read.
        assert one.ask(b"by name", "www.muxsocks.test", echo.port)[0] == ("127.0.0.1", echo.port)
        one.send(b"nowhere", "unknown.muxsocks.test", echo.port)
        assert one.ask(b"again", "www.muxsocks.test", echo.port)[1] == b"again"


def test_a_name_that_takes_long_holds_up_nobody(pair, udp_target, dns):
    echo = udp_target()
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    proxy = pair(server={"dns": {"servers": [f"127.0.0.1:{silent.getsockname()[1]}"], "timeout": "30s"}})
    with silent, udp.Association(proxy.socks) as one:
        for _ in range(20):
            one.send(b"waits", "www.muxsocks.test", echo.port)
        assert one.ask(b"at once", "127.0.0.1", echo.port)[1] == b"at once"
        assert echo.seen.count(b"waits") == 0


def burst(one, target, sizes):
    """Sends all of them, and asserts that each comes back; on a machine that is slow some may be lost, but not always."""
    want = sorted(bytes([i]) * size for i, size in enumerate(sizes, 1))
    for _ in range(10):
        for i, size in enumerate(sizes, 1):
            one.send(bytes([i]) * size, target.host, target.port)
        one.socket.settimeout(seconds(1))
        got = []
        with contextlib.suppress(TimeoutError):
            while len(got) < len(want):
                got.append(one.receive()[1])
        if sorted(got) == want:
            return
    raise AssertionError(f"{[len(each) for each in got]} of {sizes}")


@pytest.mark.parametrize("mtu", [65_536, 1_400])
def test_many_at_once(new_pair, namespace, udp_target, mtu):
    """Those of one size leave together where the path takes them whole, and each by itself where it does not."""
    namespace.ip(f"link set lo mtu {mtu}")
    with namespace.inside():
        echo = udp_target()
    proxy = new_pair()
    proxy.start_server(prefix=namespace.prefix)
    proxy.start_client(prefix=namespace.prefix)
    with namespace.inside(), udp.Association(proxy.socks) as one:
        burst(one, echo, [1_000] * 30)
        burst(one, echo, [2_000] * 30)
        burst(one, echo, [300, 300, 300, 20, 300, 1_300, 1_300, 1_300, 1_301, 7, 7])


@pytest.mark.ipv6
def test_both_families_by_one_association(pair, udp_target):
    four, six = udp_target(), udp_target(host="::1")
    proxy = pair()
    with udp.Association(proxy.socks) as one:
        assert one.ask(b"four", "127.0.0.1", four.port) == (("127.0.0.1", four.port), b"four")
        assert one.ask(b"six", "::1", six.port) == (("::1", six.port), b"six")
        assert one.ask(b"mapped", "::ffff:127.0.0.1", four.port)[0] == ("127.0.0.1", four.port)


def test_the_outside_port_is_one_for_all_and_for_anyone(pair, udp_target):
    first, second = udp_target(), udp_target()
    stranger = udp_target()
    proxy = pair()
    with udp.Association(proxy.socks) as one:
        one.ask(b"1", "127.0.0.1", first.port)
        one.ask(b"2", "127.0.0.1", second.port)
        assert first.senders[0] == second.senders[0]
        # Full cone: who was never sent to gets through as well.
        stranger.socket.sendto(b"hello", first.senders[0])
        assert one.receive() == (("127.0.0.1", stranger.port), b"hello")


def test_the_filter_for_those_that_were_contacted(pair, udp_target):
    known = udp_target()
    proxy = pair(server={"udp": {"filter": "contacted"}})
    stranger = udp_target(host="127.0.0.2")
    with udp.Association(proxy.socks) as one:
        one.ask(b"1", "127.0.0.1", known.port)
        stranger.socket.sendto(b"hello", known.senders[0])
        assert one.quiet()
        one.send(b"now", "127.0.0.2", stranger.port)
        assert one.receive() == (("127.0.0.2", stranger.port), b"now")


def test_rules_hold_for_each_datagram_and_each_reply(pair, udp_target):
    good, bad = udp_target(), udp_target(host="127.0.0.2")
    closed = udp_target()
    proxy = pair(server={"destinations": {"allow_private": False, "allow": ["127.0.0.1/32"]},
                         "udp": {"deny_ports": [closed.port]}})
    with udp.Association(proxy.socks) as one:
        one.send(b"denied", "127.0.0.2", bad.port)
        one.send(b"denied", "127.0.0.1", closed.port)
        for never in ("224.0.0.251", "255.255.255.255", "169.254.169.254"):
            one.send(b"denied", never, 5353)
        assert one.ask(b"allowed", "127.0.0.1", good.port)[1] == b"allowed"
        bad.socket.sendto(b"unasked", good.senders[0])
        assert one.quiet()
        assert bad.seen == closed.seen == []


def test_who_may_use_an_association(pair, udp_target):
    echo = udp_target()
    proxy = pair()
    with udp.Association(proxy.socks) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        # Another address of this host than the application's.
        other.bind(("127.0.0.2", 0))
        other.sendto(udp.header("127.0.0.1", echo.port) + b"stranger", one.relay)
        assert one.ask(b"mine", "127.0.0.1", echo.port)[1] == b"mine"
        # The right one, but another port than the first datagram's.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind(("127.0.0.1", 0))
            late.sendto(udp.header("127.0.0.1", echo.port) + b"late", one.relay)
        assert one.ask(b"still mine", "127.0.0.1", echo.port)[1] == b"still mine"
        assert echo.seen == [b"mine", b"still mine"]


def test_what_is_no_datagram_is_dropped_and_ends_nothing(pair, udp_target):
    echo = udp_target()
    proxy = pair()
    with udp.Association(proxy.socks) as one:
        for wrong in (b"", b"\0", b"\0\0\0", udp.header("127.0.0.1", echo.port)[:-1], b"\0\0\0\x02aaaa\0\1x",
                      b"\0\0\0\x03\0\0\1x", udp.header("127.0.0.1", 0) + b"x",
                      udp.header("127.0.0.1", echo.port, frag=1) + b"fragment",
                      udp.header("127.0.0.1", echo.port, frag=0x81) + b"last fragment",
                      udp.header("127.0.0.1", echo.port, rsv=1) + b"reserved"):
            one.socket.sendto(wrong, one.relay)
        assert one.ask(b"right", "127.0.0.1", echo.port)[1] == b"right"
        assert echo.seen == [b"right"]


@pytest.mark.parametrize("dst", [("0.0.0.0", 0), ("::", 0), ("::1", 0), ("127.0.0.1", 0), ("127.0.0.1", 9),
                                 ("198.51.100.7", 53), ("www.muxsocks.test", 53)])
def test_what_the_request_names_hardly_matters(pair, udp_target, dst):
    echo = udp_target()
    proxy = pair()
    with udp.Association(proxy.socks, dst) as one:
        assert one.ask(b"?", "127.0.0.1", echo.port)[1] == b"?"


def test_an_application_that_names_its_own_port_is_sent_to_before_it_has_sent(pair, udp_target):
    proxy = pair()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))
        with udp.Association(proxy.socks, mine.getsockname()) as one:
            one.socket.close()
            one.socket = mine
            echo = udp_target()
            assert one.ask(b"?", "127.0.0.1", echo.port)[1] == b"?"


def test_the_port_and_the_address_that_are_told(pair, udp_target):
    port = programs.free_port(kind=socket.SOCK_DGRAM)
    proxy = pair(client={"udp": {"ports": f"{port}-{port}", "advertise": ["192.0.2.1", "2001:db8::1"]}})
    echo = udp_target()
    with udp.Association(proxy.socks) as one:
        assert (one.reply.bnd_addr, one.reply.bnd_port) == ("192.0.2.1", port)
        one.relay = ("127.0.0.1", port)
        assert one.ask(b"?", "127.0.0.1", echo.port)[1] == b"?"
        with udp.Association(proxy.socks) as second:
            assert second.reply.rep == socks.GENERAL_FAILURE, "the only port is taken"


def test_udp_that_is_switched_off(pair):
    for options in ({"client": {"udp": {"enabled": False}}}, {"server": {"udp": {"enabled": False}}}):
        proxy = pair(**options)
        with udp.Association(proxy.socks) as one:
            assert one.reply.rep == socks.COMMAND_NOT_SUPPORTED


def test_a_user_has_so_many_associations(pair, udp_target):
    echo = udp_target()
    proxy = pair(server={"limits": {"user": {"udp_associations": 1}}})
    with udp.Association(proxy.socks) as one, udp.Association(proxy.socks) as second:
        assert second.ended()
        assert one.ask(b"?", "127.0.0.1", echo.port)[1] == b"?"


def test_an_end_of_the_control_connection_ends_all(pair, udp_target):
    echo = udp_target()
    proxy = pair()
    # What there is once an association was there: caches, resolvers.
    with udp.Association(proxy.socks) as one:
        one.ask(b"?", "127.0.0.1", echo.port)
    wait_until(lambda: udp_sockets(proxy.client) == udp_sockets(proxy.server) == 0, 10, "the first one's end")
    before = [descriptors(proxy.client), descriptors(proxy.server)]
    many = [udp.Association(proxy.socks) for _ in range(50)]
    for one in many:
        one.ask(b"?", "127.0.0.1", echo.port)
    assert udp_sockets(proxy.client) == udp_sockets(proxy.server) == 50
    for number, one in enumerate(many):
        if number % 2:  # Those that end by a reset.
            one.control.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
    wait_until(lambda: udp_sockets(proxy.client) == udp_sockets(proxy.server) == 0, 10, "their ends")
    wait_until(lambda: descriptors(proxy.client) <= before[0] and descriptors(proxy.server) <= before[1], 10,
               "descriptors")


@pytest.mark.parametrize("side", ["client", "server"])
def test_an_idle_association_ends_with_its_control_connection(pair, udp_target, side):
    echo = udp_target()
    proxy = pair(**{side: {"timeouts": {"udp_idle": "1s"}}})
    with udp.Association(proxy.socks) as one:
        one.ask(b"?", "127.0.0.1", echo.port)
        assert one.ended()
    wait_until(lambda: udp_sockets(proxy.client) == udp_sockets(proxy.server) == 0, 10, "sockets")


def test_what_is_said_on_the_control_connection_is_not_heard(pair, udp_target):
    echo = udp_target()
    proxy = pair()
    with udp.Association(proxy.socks) as one:
        one.control.sendall(b"x" * 100_000)
        assert one.ask(b"?", "127.0.0.1", echo.port)[1] == b"?"


def test_the_outside_port_outlives_the_link(pair, udp_target):
    echo = udp_target()
    proxy = pair(relay=[], server={"udp": {"max_delay": "10ms"}}, client={"udp": {"max_delay": "10ms"}})
    with udp.Association(proxy.socks) as one:
        one.ask(b"before", "127.0.0.1", echo.port)
        outside = echo.senders[0]
        proxy.relay.do("refuse on")
        proxy.relay.do("cut rst")
        proxy.client.wait_for_log("link to .* lost")
        for _ in range(100):
            one.send(b"meanwhile", "127.0.0.1", echo.port)
            echo.socket.sendto(b"unasked", outside)
        lost_for = threading.Event()
        assert not lost_for.wait(1.0 if not os.environ.get("MUXSOCKS_LONG") else 60.0)
        proxy.relay.do("refuse off")
        # Nothing that is old comes afterwards.
        assert one.ask(b"after", "127.0.0.1", echo.port, tries=60)[1] == b"after"
        assert echo.senders[-1] == outside
        assert b"meanwhile" not in echo.seen


def test_a_server_that_stops_ends_associations(pair, udp_target):
    echo = udp_target()
    proxy = pair(server={"resume": {"enabled": False}})
    with udp.Association(proxy.socks) as one:
        one.ask(b"?", "127.0.0.1", echo.port)
        proxy.server.kill()
        assert one.ended()


def test_a_control_connection_by_a_unix_socket_has_no_udp(pair, folder):
    path = folder / "socket"
    proxy = pair(client={"listen": [f"127.0.0.1:{programs.free_port()}", f"unix:{path}"]})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(seconds(20))
        control.connect(str(path))
        socks.negotiate(control)
        control.sendall(socks.request_bytes("0.0.0.0", 0, socks.UDP_ASSOCIATE))
        assert socks.read_reply(control).rep == socks.COMMAND_NOT_SUPPORTED
    assert proxy.client.running()


def test_udp_beside_downloads(pair, udp_target, target):
    echo = udp_target()
    source = target(servers.source)
    proxy = pair(relay=["rate 16mbit"], client={"udp": {"max_delay": "10s"}}, server={"udp": {"max_delay": "10s"}})
    downloads = [socks.connect(proxy.socks, "127.0.0.1", source.port) for _ in range(4)]
    stop = threading.Event()

    def read(connection):
        with contextlib.suppress(OSError):
            while not stop.is_set() and connection.recv(65_536):
                pass

    threads = [threading.Thread(target=read, args=(each,), daemon=True) for each in downloads]
    for each in threads:
        each.start()
    with udp.Association(proxy.socks) as one:
        for number in range(30):
            # One that took longer than it was waited for was sent again, and comes twice.
            answer = one.ask(b"%d" % number, "127.0.0.1", echo.port)[1]
            while answer != b"%d" % number:
                assert int(answer) < number
                answer = one.receive()[1]
    stop.set()
    for each in downloads:
        each.close()
