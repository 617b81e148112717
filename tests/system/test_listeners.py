"""One program has a port for itself, and a socket that dies under it comes back."""

import contextlib
import ctypes
import os
import signal
import socket

import pytest

from support import muxsocks, programs, servers, socks
from support.deadline import wait_until

ROLES = ["client", "server"]


def settings_of(pair, role, **changes):
    base = pair.server_settings if role == "server" else pair.client_settings
    return muxsocks.merge(base, {"threads": 4, **({"sessions": 4} if role == "client" else {}), **changes})


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", ""])
def test_a_second_program_with_threads_does_not_start_on_the_same_port(new_pair, role, host):
    pair = new_pair(client={"open_listener": True})
    first = muxsocks.Muxsocks(role, pair.folder, settings_of(pair, role))
    try:
        ended = muxsocks.check(role, pair.folder,
                               settings_of(pair, role, listen=f"{host}:{first.port}"), "-v")
        assert ended.returncode == 1, ended.stderr
        last = ended.stderr.splitlines()[-1]
        assert f"cannot listen on {host}:{first.port}: another program listens there" in last
    finally:
        assert first.stop() == 0


@pytest.mark.parametrize("role", ROLES)
def test_of_programs_that_start_together_one_has_the_port(new_pair, role):
    pair = new_pair()
    settings = settings_of(pair, role)
    path = muxsocks.write_config(pair.folder, role, settings)
    running = [programs.Program([programs.binary(f"muxsocks-{role}"), "-c", path], pair.folder)
               for _ in range(4)]
    try:
        wait_until(lambda: sum(each.running() for each in running) == 1, 10,
                   lambda: f"three of four to end: {[each.last_words() for each in running]}")
        for each in running:
            if each.running():
                assert muxsocks.listening(each.pid, int(settings["listen"].rpartition(":")[2]))
                assert each.stop() == 0
            else:
                assert each.wait() == 1
                assert "another program listens there" in each.last_words()
    finally:
        for each in running:
            each.kill()


def test_a_restart_finds_the_port_free_though_old_connections_linger(new_pair, target):
    echo = target(servers.echo)
    pair = new_pair(client={"threads": 2, "sessions": 2}).start()
    for _ in range(3):
        held = socks.connect(pair.socks, *echo.endpoint)
        held.sendall(b"x")
        assert held.recv(1) == b"x"
        pair.client.send(signal.SIGTERM)
        pair.client.send(signal.SIGTERM)
        assert pair.client.wait() == 0  # it closed first: its end is in FIN_WAIT or TIME_WAIT
        pair.start_client()
        held.close()
    with socks.connect(pair.socks, *echo.endpoint) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"


def shut_down_listener(program):
    """Shuts the program's listening socket down, as `ss --kill` does."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(434, program.pid, 0)  # pidfd_open
    if pidfd < 0:
        pytest.skip("no pidfd_open")
    found = 0
    try:
        for number, what in program.descriptors().items():
            if not what.startswith("socket:"):
                continue
            copy = libc.syscall(438, pidfd, number, 0)  # pidfd_getfd
            if copy < 0:
                pytest.skip("no right to take a descriptor of another process (pidfd_getfd)")
            with contextlib.closing(socket.socket(fileno=copy)) as taken:
                if taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and \
                        taken.getsockname()[1] == program.port:
                    taken.shutdown(socket.SHUT_RD)
                    found += 1
    finally:
        os.close(pidfd)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_a_listener_that_was_shut_down_comes_back(pair, target, role):
    echo = target(servers.echo)
    proxy = pair(client={"threads": 2, "sessions": 2})
    program = proxy.client if role == "client" else proxy.server
    with socks.connect(proxy.socks, *echo.endpoint) as held:
        before = program.cpu_seconds()
        assert shut_down_listener(program) == 1
        wait_until(lambda: muxsocks.listening(program.pid, program.port), 10, "it to listen anew")
        held.sendall(b"x")
        assert held.recv(1) == b"x"
        assert program.cpu_seconds() - before < 0.5
    with socks.connect(proxy.socks, *echo.endpoint) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
    assert len(program.lines("was shut down from outside")) == 1
    assert len(program.lines("cannot accept a connection")) == 1
