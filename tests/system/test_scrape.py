"""What a scrape costs beside very many sessions, most of them without a link.

By default a few; MUXSOCKS_LONG=1: 30,000. With -s the times are shown: on a machine that does nothing
else a scrape is to take 100 ms at most, and nobody to wait for 5 ms because of it.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "attack"))

import arena  # noqa: E402
from support.status import ask, document, metrics  # noqa: E402
from support.deadline import seconds, wait_until  # noqa: E402

LONG = bool(os.environ.get("MUXSOCKS_LONG"))
SESSIONS, GROUP, SCRAPES = (30_000, 5_000, 20) if LONG else (1_500, 500, 3)


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def crowded(folder, keys):
    """A server that has many sessions without a link; where it is asked for its status."""
    where = folder / "status.sock"
    field = arena.Arena(folder, keys, 10, {
        "status": {"listen": f"unix:{where}"}, "memory": {"total": "4GiB"},
        "limits": {"user": {"sessions": SESSIONS + 10, "memory": "4GiB", "detached_memory": "4GiB"}}})
    try:
        tool = field.tool("abandon", "--server", field.server.address, "--sessions", SESSIONS,
                          "--count", GROUP, "--seconds", 1200)
        assert tool.line() == "abandoned"
        figures = json.loads(tool.line())
        assert figures["sessions"] == SESSIONS, figures
        wait_until(lambda: document(where, "/v1/users") and metrics(where)[
            'muxsocks_sessions{state="detached"}'] == SESSIONS, 60, "all of them to be detached")
        yield field, where
    finally:
        field.stop()


@pytest.mark.slow
def test_scrapes_beside_many_sessions_hold_up_nobody(crowded):
    field, where = crowded
    before = field.honest(5).result(60)
    times = []
    over = threading.Event()
    used = processor_seconds(field.server.pid)

    def scrape():
        while not over.wait(1 if LONG else 0.1) and len(times) < SCRAPES:
            begin = time.monotonic()
            found = metrics(where)
            times.append(time.monotonic() - begin)
            assert found['muxsocks_sessions{state="detached"}'] == SESSIONS
            assert found['muxsocks_session_begun_total'] >= SESSIONS

    scraper = threading.Thread(target=scrape)
    scraper.start()
    beside = field.honest(SCRAPES if LONG else 2).result(60)
    over.set()
    scraper.join()
    used = processor_seconds(field.server.pid) - used
    print(f"{SESSIONS} sessions: {len(times)} times scraped in {sorted(times)[len(times) // 2] * 1000:.1f} ms (median), "
          f"{max(times) * 1000:.1f} ms (most), {used:.2f} s of processor time in all; a byte to and fro beside it {beside['standing']}, "
          f"without {before['standing']}")
    assert times and not beside["standing"]["failed"] and not beside["requests"]["failed"]
    assert sorted(times)[len(times) // 2] < seconds(1)


@pytest.mark.slow
def test_what_never_falls_does_not(crowded):
    """Whatever comes and goes while all sessions are looked at."""
    field, where = crowded
    counters = {}
    requests = field.honest(3, rate=100)
    while requests.process.poll() is None:
        found = metrics(where)
        for name, value in found.items():
            if "_total" in name and not name.startswith("process_"):
                assert value >= counters.get(name, 0), name
                counters[name] = value
    assert requests.result(60)["requests"]["failed"] == 0
    assert counters["muxsocks_streams_opened_total"] > 100
    status, _, text = ask(where, "/v1/sessions")
    assert status == 200 and text.count('"detached"') == SESSIONS
