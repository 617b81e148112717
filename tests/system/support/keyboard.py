"""An application that types, with an echo of its own as target, in a process of its own: what a
keystroke waits is not what other threads of the tests take.

    keyboard = Keyboard(proxy)    # (host, port) of the client
    waits = keyboard.stop()       # of each keystroke, in seconds; raises what went wrong
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

from . import servers, socks
from .deadline import seconds

BETWEEN = 0.005


def real_time():
    """In front of a command: no other program keeps it from its turn, where that is allowed."""
    prefix = ["chrt", "--rr", "1"]
    allowed = shutil.which("chrt") and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    return prefix if allowed else []


class Keyboard:
    def __init__(self, proxy, prefix=()):
        tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "support.keyboard", proxy[0], str(proxy[1])], cwd=tests,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def stop(self):
        waits, wrong = self.process.communicate("", timeout=seconds(60))
        assert self.process.returncode == 0, wrong
        return json.loads(waits)


def type_until_the_end_of_input(proxy):
    echo = servers.TargetServer(servers.echo)
    over, waits = [], []
    watching = threading.Thread(target=lambda: over.append(sys.stdin.read()), daemon=True)
    watching.start()
    with socks.connect(proxy, "127.0.0.1", echo.port) as connection:
        while not over:
            begun = time.monotonic()
            connection.sendall(b"k")
            assert servers.read_exactly(connection, 1, seconds(20)) == b"k"
            waits.append(time.monotonic() - begun)
            watching.join(BETWEEN)
    echo.stop()
    json.dump(waits, sys.stdout)


if __name__ == "__main__":
    type_until_the_end_of_input((sys.argv[1], int(sys.argv[2])))
