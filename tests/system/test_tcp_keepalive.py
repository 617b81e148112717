"""Connections with applications and with targets are probed by TCP: who has gone without a word is
found."""

import os
import socket
import threading

import pytest

from support import muxsocks, servers, socks
from support.deadline import seconds, wait_until

TCP_REPAIR = 19


def keepalive_timer(pid, local_port, remote_port):
    """The seconds until the kernel probes the process's connection between the two ports; None without
    a timer for that."""
    for fields in muxsocks.tcp_sockets(pid):
        ports = [int(field.rsplit(":", 1)[1], 16) for field in fields[1:3]]
        if ports == [local_port, remote_port] and fields[3] == "01":
            kind, ticks = fields[5].split(":")
            return int(ticks, 16) / os.sysconf("SC_CLK_TCK") if kind == "02" else None
    return None


def vanish(connection):
    """Ends the connection without a FIN or a RST, as a machine does that is switched off."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        pytest.skip("TCP_REPAIR is not allowed here")
    connection.close()


class Connected:
    """An application with its target, and the two sockets that are probed."""

    def __init__(self, proxy, target):
        self.accepted, self.watched = [], threading.Event()

        def keep(connection):
            self.accepted.append(connection)
            self.watched.wait(seconds(20))  # a call that waits would keep the socket from its end
            servers.hold(connection)

        self.server = target(keep)
        self.application = socks.connect(proxy.socks, "127.0.0.1", self.server.port)
        wait_until(lambda: self.accepted, 5, "the target to accept")
        self.pairs = {
            "client": (proxy.socks[1], self.application.getsockname()[1]),
            "server": (self.accepted[0].getpeername()[1], self.server.port),
        }

    def timer(self, program):
        return keepalive_timer(program.pid, *self.pairs[program.role])


def test_silence_is_probed_after_a_minute(pair, target):
    proxy = pair()
    connected = Connected(proxy, target)
    for each in proxy.programs:
        wait_until(lambda: connected.timer(each), 5, f"{each.role} to have a timer")
        assert 40 < connected.timer(each) <= 60.1


def test_a_reload_changes_the_probes_of_connections_that_run(pair, target):
    proxy = pair()
    connected = Connected(proxy, target)
    for each in proxy.programs:
        each.reload(muxsocks.merge(each.config, {"keepalive": {"tcp": {"idle": "0"}}}))
        wait_until(lambda: connected.timer(each) is None, 5, f"{each.role} to stop probing")
        each.reload(muxsocks.merge(each.config, {"keepalive": {"tcp": {"idle": "10m"}}}))
        wait_until(lambda: (connected.timer(each) or 0) > 500, 5, f"{each.role} to probe again")


PROBES = {"keepalive": {"tcp": {"idle": "1s", "interval": "1s", "count": 2}}}


def test_a_target_that_has_vanished(pair, target):
    connected = Connected(pair(server=PROBES), target)
    vanish(connected.accepted[0])
    with pytest.raises(ConnectionResetError):
        servers.read_all(connected.application)
    connected.watched.set()


def test_an_application_that_has_vanished(pair, target):
    connected = Connected(pair(client=PROBES), target)
    connected.watched.set()
    vanish(connected.application)
    wait_until(lambda: connected.server.ends == ["ECONNRESET"], 10, lambda: connected.server.ends)
