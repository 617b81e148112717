"""What the programs tell the kernel of a link's socket while small messages go beside bulk, on a
network slower than they are (protocol/standing_queue). Read from the running server's own socket."""

import ctypes
import os
import socket
import subprocess
import threading

import pytest

from support import muxsocks, servers, socks
from support.deadline import wait_until

PIDFD_OPEN, PIDFD_GETFD = 434, 438
SO_BUF_LOCK, SEND_BUFFER_LOCK = 72, 1
WHOLE_TURN = 128 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


def link_socket(program, port):
    """A duplicate of the program's own socket of the link that came to its `port`."""
    process = _libc.syscall(PIDFD_OPEN, program.pid, 0)
    try:
        for name in os.listdir(f"/proc/{program.pid}/fd"):
            descriptor = _libc.syscall(PIDFD_GETFD, process, int(name), 0)
            if descriptor < 0:
                pytest.skip(f"no access to another process's sockets: {os.strerror(ctypes.get_errno())}")
            try:
                found = socket.socket(fileno=descriptor)
            except OSError:
                os.close(descriptor)
                continue
            if found.type == socket.SOCK_STREAM and found.getsockname()[1] == port and \
                    not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return found
            found.close()
    finally:
        os.close(process)
    raise AssertionError(f"no link on port {port}")


class KernelSettings:
    def __init__(self, of):
        self._socket = of

    def unsent(self):
        return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)

    def bounded(self):
        try:
            lock = self._socket.getsockopt(socket.SOL_SOCKET, SO_BUF_LOCK)
        except OSError:
            pytest.skip("SO_BUF_LOCK needs Linux 5.14")
        return lock & SEND_BUFFER_LOCK != 0

    def __str__(self):
        return f"unsent {self.unsent()}, bounded {self.bounded()}, " \
               f"{self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)} in all"


def test_the_queue_is_bounded_while_small_messages_go_beside_bulk(new_pair, internet, target):
    for end in (internet.here, internet.there):
        try:
            end.run("tc qdisc add dev wire root tbf rate 80mbit burst 32k limit 400k")
        except subprocess.CalledProcessError as failed:
            pytest.skip(f"networks cannot be slowed down here: {failed.stderr.decode().strip()}")
    proxy = new_pair(server={"destinations": {"allow": ["198.20.0.0/24"]}})
    internet.start_apart(proxy)
    with internet.there.inside():
        source = target(servers.source, host=internet.target)
    with internet.here.inside():
        download = socks.connect(proxy.socks, internet.target, source.port)
        talk = socks.connect(proxy.socks, internet.target, internet.echo.port)
    kernel = KernelSettings(link_socket(proxy.server, proxy.server_endpoint[1]))
    assert (kernel.unsent(), kernel.bounded()) == (WHOLE_TURN, False)
    done, quiet = threading.Event(), threading.Event()

    def read():
        while not done.is_set():
            download.recv(1 << 16)

    def speak():
        while not quiet.wait(0.02):
            talk.sendall(b"x")
            servers.read_exactly(talk, 1)

    reader, speaker = threading.Thread(target=read), threading.Thread(target=speak)
    reader.start()
    speaker.start()
    try:
        wait_until(kernel.bounded, 20, lambda: f"a bound: {kernel}")
        assert kernel.unsent() < WHOLE_TURN, str(kernel)
        quiet.set()
        speaker.join()
        wait_until(lambda: not kernel.bounded(), 20, lambda: f"no bound: {kernel}")
    finally:
        done.set()
        quiet.set()
        reader.join()
        download.close()
        talk.close()
