"""The load generator's target, which every benchmark trusts."""

import socket
import struct

import pytest

from support import programs, servers
from support.deadline import seconds

DOWNLOAD = struct.pack("=4sB3xQQQ", b"MXL1", 1, 0, 1, 0)
STOP = b"s"


@pytest.fixture
def load_target(folder):
    """A running `muxsocks-load target`; its port. The sanitizers' builds have none."""
    if not (programs.build_folder() / "muxsocks-load").exists():
        pytest.skip("muxsocks-load is not built")
    port = programs.free_port()
    program = programs.Program([programs.binary("muxsocks-load"), "target", "--listen",
                                f"127.0.0.1:{port}"], folder)
    program.wait_for_output("listening")
    yield port
    program.kill()


def test_a_stop_may_come_together_with_the_request(load_target):
    """As it does through a proxy that takes its time."""
    with socket.create_connection(("127.0.0.1", load_target), seconds(10)) as connection:
        connection.sendall(DOWNLOAD + STOP)
        arrived = 0
        length = None
        while length != 0:
            length, _ = struct.unpack("=II", servers.read_exactly(connection, 8))
            arrived += len(servers.read_exactly(connection, length))
            assert arrived < 10_000_000
        assert struct.unpack("=QQ", servers.read_exactly(connection, 16))[0] == arrived
