"""The log in the journal: by a socket of the tests' own in the place of journald's."""

import os
import shutil
import socket
import subprocess

import pytest

from support import muxsocks, programs, socks
from support.deadline import seconds, wait_until

# A mount namespace in which /run is the test's own.
OWN_RUN = ("mount -t tmpfs none /run && mkdir -p /run/systemd/journal && "
           'mount --bind "$1" /run/systemd/journal && shift && exec "$@"')


def may_mount():
    return shutil.which("unshare") and subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /run"], capture_output=True,
        timeout=30).returncode == 0


class Journal:
    """Records, as dicts of their fields, and what came as text on the stream."""

    def __init__(self, folder):
        self.folder = folder / "journal"
        self.folder.mkdir()
        self._records = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._records.bind(str(self.folder / "socket"))
        self._records.setblocking(False)
        self._stream, self.standard_error = socket.socketpair()
        self._stream.setblocking(False)
        self.records, self.text = [], ""

    def environment(self):
        found = os.fstat(self.standard_error.fileno())
        return {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}

    def read(self):
        for take in (self._take_record, self._take_text):
            try:
                while take():
                    pass
            except BlockingIOError:
                pass

    def _take_record(self):
        lines = self._records.recv(1 << 16).decode().splitlines()
        self.records.append(dict(line.split("=", 1) for line in lines))
        return True

    def _take_text(self):
        piece = self._stream.recv(1 << 16).decode()
        self.text += piece
        return piece

    def wait_for(self, message, **fields):
        def found():
            self.read()
            return next((each for each in self.records if message in each["MESSAGE"]
                         and fields.items() <= each.items()), None)
        return wait_until(found, 10, lambda: f"'{message}' in {self.records} and {self.text!r}")

    def close(self):
        for each in (self._records, self._stream, self.standard_error):
            each.close()


@pytest.fixture
def journal(folder):
    if not may_mount():
        pytest.skip("mounting is not allowed here")
    made = Journal(folder)
    yield made
    made.close()


@pytest.fixture
def start_client(new_pair, journal):
    """Starts the client of a pair whose server runs, with its standard error in the journal."""
    running = []

    def start(settings):
        proxy = new_pair(client=settings)
        proxy.start_server()
        path = muxsocks.write_config(proxy.folder, "client", proxy.client_settings)
        running.append(subprocess.Popen(
            ["unshare", "-m", "sh", "-c", OWN_RUN, "sh", journal.folder,
             programs.binary("muxsocks-client"), "-c", path],
            stderr=journal.standard_error, stdin=subprocess.DEVNULL,
            env={**os.environ, **journal.environment()}))
        proxy.endpoint = ("127.0.0.1", int(proxy.client_settings["listen"].rpartition(":")[2]))
        return proxy, running[-1]

    yield start
    for each in running:
        each.kill()
        each.wait()


def test_a_line_is_a_record_with_fields(start_client, journal):
    proxy, client = start_client({"log": {"level": "debug"}})
    up = journal.wait_for("is up")
    assert up["PRIORITY"] == "6" and up["SYSLOG_IDENTIFIER"] == "muxsocks-client"
    assert "MUXSOCKS_REASON" not in up
    with socks.connect(proxy.endpoint, *proxy.server_endpoint):
        pass
    ended = journal.wait_for(" ended: ")
    assert ended["PRIORITY"] == "7" and ended["MUXSOCKS_REASON"]
    assert ended["MESSAGE"].endswith(f"[{ended['MUXSOCKS_REASON']}]")
    proxy.server.kill()
    assert journal.wait_for(" lost: ")["MUXSOCKS_REASON"]
    # Beside lines of each dial, which are for debugging: refused, or reset where it came before the
    # kernel had closed all that the server had.
    assert journal.wait_for(" failed: ", PRIORITY="4")
    client.terminate()
    assert client.wait(seconds(10)) == 0
    journal.read()
    # Nothing but the records: whoever reads the journal sees each line once.
    assert journal.text == ""


def test_json_stays_what_it_is(start_client, journal):
    start_client({"log": {"format": "json"}})
    wait_until(lambda: journal.read() or '"message":"link to' in journal.text, 10,
               lambda: f"JSON in {journal.text!r}")
    assert journal.records == []
