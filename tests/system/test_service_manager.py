"""What a service manager learns: sd_notify(3), by a socket of the tests' own."""

import signal
import socket
import time

import pytest

from support.deadline import seconds, wait_until

ROLES = ["client", "server"]


class Manager:
    """Listens at $NOTIFY_SOCKET; `told()` is what came since the last call, one dict a message."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(address))
        self.environment = {"NOTIFY_SOCKET": str(address)}

    def next(self, timeout=10):
        self.socket.settimeout(seconds(timeout))
        text = self.socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.split("\n"))

    def close(self):
        self.socket.close()


@pytest.fixture
def manager(folder):
    made = Manager(folder / "notify")
    yield made
    made.close()


@pytest.fixture
def start(new_pair, manager):
    """Starts the role's program with the manager's socket."""

    def make(role, environment=None, **settings):
        proxy = new_pair(**{role: settings})
        if role == "client":
            proxy.start_server()
        env = {**manager.environment, **(environment or {})}
        if role == "server":
            return proxy.start_server(env=env)
        return proxy.start_client(wait_for_link=False, env=env)

    return make


@pytest.mark.parametrize("role", ROLES)
def test_ready_reloading_and_stopping(start, manager, role):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    program = start(role, timeouts={"drain": "3s"})
    assert manager.next() == {"READY": "1", "STATUS": "serving"}

    program.reload(program.config)
    message = manager.next()
    assert set(message) == {"RELOADING", "MONOTONIC_USEC"} and message["RELOADING"] == "1"
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(message["MONOTONIC_USEC"]) <= now
    assert manager.next() == {"READY": "1", "STATUS": "serving"}

    program.reload({**program.config, "no_such_key": 1})
    assert "RELOADING" in manager.next()
    message = manager.next()
    assert message["READY"] == "1" and "no_such_key" in message["STATUS"]

    program.send(signal.SIGTERM)
    assert manager.next() == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "8000000"}
    assert program.wait() == 0


@pytest.mark.parametrize("role", ROLES)
def test_ready_means_that_connections_are_taken(start, manager, role):
    program = start(role)
    assert manager.next()["READY"] == "1"
    socket.create_connection(program.endpoint, seconds(5)).close()


@pytest.mark.parametrize("role", ROLES)
def test_the_watchdog_hears_from_a_program_that_runs_and_not_from_one_that_hangs(start, manager,
                                                                                 role):
    links = {"sessions": 2} if role == "client" else {}
    program = start(role, {"WATCHDOG_USEC": "200000"}, threads=2, **links)
    assert manager.next()["READY"] == "1"
    began = time.monotonic()
    for _ in range(5):
        assert manager.next() == {"WATCHDOG": "1"}
    assert time.monotonic() - began < seconds(0.2 * 5)

    # Stopped as a whole; that one hanging thread is enough is in tests/program.
    program.send(signal.SIGSTOP)
    wait_until(lambda: "T" in open(f"/proc/{program.pid}/stat").read().rsplit(")", 1)[1].split()[0],
               5, "it to stop")
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            manager.socket.recv(4096)
    manager.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        manager.socket.recv(4096)
    program.send(signal.SIGCONT)
    assert manager.next() == {"WATCHDOG": "1"}


@pytest.mark.parametrize("role", ROLES)
def test_a_manager_that_has_gone_is_no_harm(start, manager, role):
    program = start(role)
    manager.close()
    program.reload(program.config)
    program.wait_for_log(r"configuration reloaded")
    program.wait_for_log(r"NOTIFY_SOCKET")
    assert len(program.lines("NOTIFY_SOCKET")) == 1
