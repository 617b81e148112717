"""Many clients whose server goes away and comes back: they must not all come at once, nor late.

By default a few clients and seconds; MUXSOCKS_LONG=1: 1,000 clients and an outage of 30 s.
"""

import json
import os
import subprocess
import time

import pytest

from support import muxsocks, programs
from support.deadline import seconds, wait_until

LONG = bool(os.environ.get("MUXSOCKS_LONG"))
CLIENTS, WAITING, OUTAGE = (1_000, 20, 30) if LONG else (60, 5, 2)


class Herd(programs.Program):
    def __init__(self, folder, config):
        path = muxsocks.write_config(folder, "client", config)
        super().__init__([programs.binary("muxsocks-herd"), path, CLIENTS, WAITING], folder,
                         name="herd", stdin=subprocess.PIPE)

    def do(self, command):
        lines = len(self.output().splitlines())
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        wait_until(lambda: len(self.output().splitlines()) > lines, 10, "the herd to answer")
        return json.loads(self.output().splitlines()[-1])

    def all_up(self):
        return self.do("stats")["up"] == CLIENTS

    def stop(self):
        self.process.stdin.close()
        return super().wait()


@pytest.mark.slow
def test_a_herd_comes_back(new_pair, folder):
    proxy = new_pair(server={"limits": {"unauthenticated": 4096, "user": {"sessions": CLIENTS}},
                             "log": {"level": "info"}})
    proxy.start_server()
    settings = {**proxy.client_settings, "log": {"level": "warning"}}
    herd = Herd(folder / "herd", settings)
    try:
        wait_until(herd.all_up, 60, "the herd to be up")
        proxy.server.kill()
        began = time.monotonic()
        time.sleep(OUTAGE)  # What is measured: clients that have backed off for so long.
        herd.do("hurry")
        herd.do("mark")
        proxy.start_server()
        outage = time.monotonic() - began
        wait_until(herd.all_up, 45, lambda: herd.do("stats"))
        found = herd.do("stats")
    finally:
        herd.stop()
    back = sorted(found["back_ms"] + found["hurried_ms"])
    assert len(back) == CLIENTS
    crowd = max(sum(1 for each in back if at <= each < at + 1000) for at in back)
    print(f"outage {outage:.1f} s, last back after {back[-1]} ms, at most {crowd} of {CLIENTS} in one "
          f"second, those with a waiting request after {found['hurried_ms'][-1]} ms at most")
    assert back[-1] <= 30_000
    assert found["hurried_ms"][-1] <= seconds(2) * 1000
    if LONG:
        assert crowd <= CLIENTS / 4
        assert found["hurried_ms"][-1] <= 2_000
