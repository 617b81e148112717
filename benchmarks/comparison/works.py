"""The works: what is measured, with which load, and which figures come out.

Each work is run several times for each peer, every time with a freshly started peer. A run gives
figures by name; METRICS says what they are and whether more or less is better.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Callable

from .correctness import HOST_UNREACHABLE
from .correctness import __file__ as correctness_program
from .namespaces import Namespace
from .paths import DISTANCES, VOICE, Path
from .peers import Running
from .scenes import Scene


@dataclass(frozen=True)
class Metric:
    title: str
    unit: str
    more_is_better: bool
    digits: int = 2


METRICS = {
    "mb_s": Metric("throughput", "MB/s", True, 0),
    "cpu_gb": Metric("CPU, all proxy processes", "s/GB", False),
    "client_cpu_gb": Metric("CPU, client half", "s/GB", False),
    "server_cpu_gb": Metric("CPU, server half", "s/GB", False),
    "slowest": Metric("slowest stream", "MB/s", True, 1),
    "fastest": Metric("fastest stream", "MB/s", True, 1),
    "conn_s": Metric("connections", "/s", True, 0),
    "p50": Metric("p50", "ms", False, 3),
    "p90": Metric("p90", "ms", False, 3),
    "p99": Metric("p99", "ms", False, 3),
    "cpu_1000": Metric("CPU per 1,000 connections", "s", False, 3),
    "trips_s": Metric("round trips", "/s", True, 0),
    "cpu_trip": Metric("CPU per round trip", "µs", False, 1),
    "bulk_mb_s": Metric("bulk beside it", "MB/s", True, 0),
    "open_s": Metric("time to open all", "s", False),
    "carry_s": Metric("time for 16 KiB both ways", "s", False),
    "client_kib": Metric("client, each stream", "KiB", False),
    "server_kib": Metric("server, each stream", "KiB", False),
    "alone_mb_s": Metric("without them", "MB/s", True, 0),
    "beside_mb_s": Metric("beside them", "MB/s", True, 0),
    "kept": Metric("kept", "of 1", True),
    "together_mb_s": Metric("downloads together", "MB/s", True, 1),
    "download_mb_s": Metric("one download", "MB/s", True, 1),
    "key_p50": Metric("keystroke p50", "round trips", False),
    "key_p95": Metric("keystroke p95", "round trips", False),
    "key_p99": Metric("keystroke p99", "round trips", False),
    "new_p50": Metric("new connection p50", "round trips", False),
    "new_p95": Metric("new connection p95", "round trips", False),
    "datagrams_s": Metric("datagrams to and fro", "/s", True, 0),
    "cpu_datagrams": Metric("CPU per 1,000 to and fro", "ms", False, 1),
    "half_lost": Metric("lost at half of that", "%", False, 3),
    "half_p99": Metric("p99 then", "ms", False, 2),
    "half_cpu": Metric("CPU per 1,000 then", "ms", False, 1),
    "voice_p50": Metric("voice p50", "ms", False, 1),
    "voice_p99": Metric("voice p99", "ms", False, 1),
    "voice_lost": Metric("voice lost", "%", False, 2),
    "question_p50": Metric("question p50", "ms", False, 1),
    "question_p99": Metric("question p99", "ms", False, 1),
    "flow_mb_s": Metric("10 MB by datagrams", "MB/s", True, 2),
    "cpu_growth": Metric("CPU per GB, with against without", "times", False),
}


class Failure(Exception):
    """A run gave no figures; the text says why. `wrong` if bytes were wrong, `slow` if only the
    time was up."""

    def __init__(self, text: str, wrong: bool = False, slow: bool = False):
        super().__init__(text)
        self.wrong = wrong
        self.slow = slow


@dataclass
class Load:
    """Runs muxsocks-load against one started peer."""
    scene: Scene
    peer: Running
    seconds: float
    # For opening, and again for ending.
    time_limit: float = 60
    # Every line of JSON that the load generator printed, for the record.
    raw: list[dict] = field(default_factory=list)

    def run(self, work: str, *arguments, must_finish: bool = True) -> dict:
        limit = 300 + 3 * self.seconds
        command = [*self.scene.near.prefix, str(self.scene.tools.load), work, *self.peer.route,
                   "--control", self.scene.target,
                   "--pids", ",".join(map(str, self.peer.pids)),
                   "--helpers", ",".join(map(str, self.scene.helpers)), *map(str, arguments)]
        if "--time-limit" not in arguments:
            command += ["--time-limit", str(self.time_limit)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False,
                                  timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failure(f"no result within {limit:.0f} s", slow=True) from None
        if not done.stdout.strip():
            raise Failure(done.stderr.strip() or f"muxsocks-load: status {done.returncode}")
        result = json.loads(done.stdout)
        result["work"] = work
        result["arguments"] = [str(argument) for argument in arguments]
        self.raw.append(result)
        if result["wrong"]:
            raise Failure(f"wrong bytes in {result['wrong']} streams", wrong=True)
        if result["failed"]:
            raise Failure(f"{result['failed']} streams failed: {result['first_failure']}")
        if result["unfinished"] and must_finish:
            raise Failure(f"{result['unfinished']} streams did not finish in time",
                          slow=True)
        return result

    def share(self, result: dict, role: str, name: str) -> float | None:
        """A figure of the client's or the server's process."""
        if role not in self.peer.roles:
            return None
        return result["processes"][self.peer.roles.index(role)].get(name)


@dataclass(frozen=True)
class Work:
    name: str
    title: str
    scene: str
    run: Callable[[Load], dict]
    # The figures that are related to muxsocks and drawn, the most important one first.
    metrics: tuple[str, ...]
    # Further columns of the table.
    details: tuple[str, ...]
    # A group for --works and for Peer.unfit.
    group: str
    # Rounds in place of --repeat; none: as that says.
    rounds: int | None = None
    # Whether it needs a peer that carries datagrams, or uploads.
    udp: bool = False
    uploads: bool = False


def cpu_by_half(load: Load, result: dict) -> dict:
    figures = {}
    for role in ("client", "server"):
        user = load.share(result, role, "user_seconds")
        if user is not None:
            seconds = user + load.share(result, role, "system_seconds")
            figures[f"{role}_cpu_gb"] = seconds / (result["bytes"] / 1e9)
    return figures


def throughput(direction: str, streams: int, total: int = 0):
    """Streams without an end for some seconds, or `total` bytes in equal parts."""
    def run(load: Load) -> dict:
        how = ["--bytes", total // streams] if total else ["--seconds", load.seconds]
        result = load.run("throughput", "--direction", direction, "--streams", streams, *how)
        figures = {"mb_s": result["mb_per_second"],
                   "slowest": result["slowest_stream_mb_per_second"],
                   "fastest": result["fastest_stream_mb_per_second"]}
        if load.peer.pids:
            figures["cpu_gb"] = result["cpu_seconds_per_gb"]
            figures |= cpu_by_half(load, result)
        return figures
    return run


def connections(at_once: int):
    def run(load: Load) -> dict:
        result = load.run("connections", "--streams", at_once, "--seconds", load.seconds)
        times = result["time_to_echo"]
        figures = {"conn_s": result["connections_per_second"], "p50": times["p50_ms"],
                   "p99": times["p99_ms"]}
        if load.peer.pids:
            figures["cpu_1000"] = result["cpu_seconds_per_1000"]
        return figures
    return run


def round_trips(at_once: int = 1, bulk: int = 0, direction: str = "down"):
    def run(load: Load) -> dict:
        result = load.run("round-trips", "--streams", at_once, "--bulk", bulk,
                          "--direction", direction, "--seconds", load.seconds)
        times = result["round_trip"]
        figures = {"p50": times["p50_ms"], "p90": times["p90_ms"], "p99": times["p99_ms"],
                   "trips_s": result["round_trips_per_second"]}
        if bulk:
            figures["bulk_mb_s"] = result["bulk_mb_per_second"]
        elif load.peer.pids:
            figures["cpu_trip"] = result["cpu_us_per_round_trip"]
        return figures
    return run


def idle(streams: int, hold: float = 10):
    def run(load: Load) -> dict:
        result = load.run("idle", "--streams", streams, "--hold", hold, "--time-limit", 120)
        figures = {"open_s": result["open_seconds"], "carry_s": result["carry_seconds"]}
        for role in ("client", "server"):
            bytes_each = load.share(result, role, "rss_bytes_per_stream")
            if bytes_each is not None:
                figures[f"{role}_kib"] = bytes_each / 1024
        return figures
    return run


def warm_up(load: Load, streams: int, direction: str = "down") -> None:
    """For works that compare a first load with a second one: neither is to find windows small."""
    load.run("throughput", "--direction", direction, "--streams", streams, "--seconds", 0.5)


def stalled(unread: int, active: int, payload: int = 0, owed: int = 0):
    """Downloads with and without streams beside them that are not read; what those are owed must
    arrive afterwards."""
    def run(load: Load) -> dict:
        how = ["--bytes", payload] if payload else ["--seconds", load.seconds]
        more = ["--stalled-bytes", owed] if owed else []
        warm_up(load, active)
        alone = load.run("throughput", "--streams", active, *how)
        # A peer whose streams all stand still then is a result, not a failure.
        beside = load.run("throughput", "--streams", active, *how, "--stalled", unread, *more,
                          "--time-limit", 20, must_finish=bool(owed))
        figures = {"alone_mb_s": alone["window_mb_per_second"],
                   "beside_mb_s": beside["window_mb_per_second"]}
        return figures | {"kept": figures["beside_mb_s"] / figures["alone_mb_s"]}
    return run


def crowd(open_streams: int, active: int, direction: str):
    """The cost of a byte with many streams open, few of them active."""
    def run(load: Load) -> dict:
        arguments = ["--direction", direction, "--streams", active, "--seconds", load.seconds]
        warm_up(load, active, direction)
        without = load.run("throughput", *arguments)
        beside = load.run("throughput", *arguments, "--idle", open_streams - active,
                          "--time-limit", 120)
        figures = {"alone_mb_s": without["mb_per_second"],
                   "beside_mb_s": beside["mb_per_second"]}
        if load.peer.pids:
            figures["cpu_growth"] = beside["cpu_seconds_per_gb"] / without["cpu_seconds_per_gb"]
        return figures
    return run


def after_start(direction: str, streams: int, start_seconds: float = 3):
    """Throughput of a long path once it has got going."""
    def run(load: Load) -> dict:
        result = load.run("throughput", "--direction", direction, "--streams", streams,
                          "--from", start_seconds, "--seconds", start_seconds + load.seconds)
        return {"mb_s": result["window_mb_per_second"]}
    return run


def first_byte(count: int):
    def run(load: Load) -> dict:
        result = load.run("connections", "--streams", 1, "--count", count)
        times = result["time_to_echo"]
        return {"p50": times["p50_ms"], "p99": times["p99_ms"]}
    return run


# A long path needs as much to get going, and a 99th percentile as many keystrokes.
DISTANCE_START_SECONDS = 5
DISTANCE_LONGER = 4


def interactive(path: Path, bulk: int = 4):
    """Somebody types and opens connections beside downloads."""
    def run(load: Load) -> dict:
        # What a peer has piled up for the downloads may take minutes to come; it is not waited for.
        result = load.run("interactive", "--bulk", bulk, "--from", DISTANCE_START_SECONDS,
                          "--seconds", DISTANCE_LONGER * load.seconds, must_finish=False)
        keys, times = result["key"], result["time_to_echo"]
        figures = {f"key_{name}": keys[f"{name}_ms"] / path.round_trip_ms
                   for name in ("p50", "p95", "p99")}
        figures |= {f"new_{name}": times[f"{name}_ms"] / path.round_trip_ms
                    for name in ("p50", "p95")}
        figures["together_mb_s"] = result["bulk_mb_per_second"]
        if load.peer.pids:
            figures["cpu_gb"] = result["cpu_seconds"] / (
                result["bulk_mb_per_second"] * result["elapsed_seconds"] / 1000)
        return figures
    return run


def one_download(load: Load) -> dict:
    result = load.run("throughput", "--from", DISTANCE_START_SECONDS, "--seconds",
                      DISTANCE_START_SECONDS + 2 * load.seconds, must_finish=False)
    return {"download_mb_s": result["window_mb_per_second"]}


def datagrams(streams: int, size: int, window: int):
    """As many as go, and then half as many a second."""
    def run(load: Load) -> dict:
        how = ["--streams", streams, "--size", size]
        most = load.run("datagrams", *how, "--window", window, "--seconds", load.seconds)
        rate = most["datagrams_per_second"] / streams / 2
        half = load.run("datagrams", *how, "--rate", f"{rate:.0f}", "--seconds", load.seconds)
        figures = {"datagrams_s": most["datagrams_per_second"],
                   "half_lost": half["lost_share"] * 100, "half_p99": half["datagram"]["p99_ms"]}
        if load.peer.pids:
            figures |= {"cpu_datagrams": most["cpu_seconds_per_1000"] * 1000,
                        "half_cpu": half["cpu_seconds_per_1000"] * 1000}
        return figures
    return run


def voice(flow: int = 0):
    """40 bytes every 20 ms, and questions as of a resolver, beside eight downloads; if asked for,
    beside a download by datagrams, too, that behaves as QUIC does."""
    def run(load: Load) -> dict:
        result = load.run("datagrams", "--size", 40, "--rate", 50, "--bulk", 8, "--from",
                          DISTANCE_START_SECONDS, "--seconds", DISTANCE_LONGER * load.seconds,
                          "--questions", "--interval", 0.2, "--flow", flow, must_finish=False)
        times, questions = result["datagram"], result["question"]
        figures = {"voice_p50": times["p50_ms"], "voice_p99": times["p99_ms"],
                   "voice_lost": result["lost_share"] * 100, "question_p50": questions["p50_ms"],
                   "question_p99": questions["p99_ms"],
                   "together_mb_s": result["bulk_mb_per_second"]}
        if flow:
            figures["flow_mb_s"] = result["flow"]["mb_per_second"]
        return figures
    return run


def correctness(load: Load) -> dict:
    """Ends, resets and replies: see correctness.py, which brings its own targets."""
    scene = load.scene
    more = []
    if isinstance(scene.near, Namespace):
        scene.near.run("ip", "route", "add", "unreachable", HOST_UNREACHABLE)
    else:
        more.append("--no-routes")
    # A relay leads to the load's target, whose place the check's targets take.
    scene.stop_target()
    port = scene.target.rsplit(":", 1)[1]
    route = load.peer.route[:2]
    more += ["--relay-port", port] if route[0] == "--relay" else []
    done = subprocess.run([*scene.near.prefix, sys.executable, correctness_program, *route, *more],
                          capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise Failure(done.stderr.strip())
    return {"checks": json.loads(done.stdout)}


MIB = 1024 * 1024


def bulk_work(direction: str, streams: int) -> Work:
    plural = "stream" if streams == 1 else "streams"
    return Work(f"{direction}-{streams}", f"Throughput {direction}, {streams} {plural}", "loopback",
                throughput(direction, streams), ("mb_s", "cpu_gb"),
                ("client_cpu_gb", "server_cpu_gb", "slowest", "fastest"), "throughput",
                uploads=direction == "up")


def connection_work(at_once: int) -> Work:
    return Work(f"connections-{at_once}",
                f"Connections (open, echo a byte, close), {at_once} at once", "loopback",
                connections(at_once), ("conn_s", "cpu_1000"), ("p50", "p99"), "connections")


def idle_work(streams: int, hold: float = 10) -> Work:
    return Work(f"idle-{streams}", f"Memory of {streams:,} idle streams", "loopback",
                idle(streams, hold), ("client_kib", "server_kib", "open_s"), ("carry_s",), "idle")


def delayed_work(direction: str, streams: int) -> Work:
    plural = "stream" if streams == 1 else "streams"
    return Work(f"delayed-{direction}-{streams}", f"{streams} {plural} {direction} at 100 ms round "
                "trip and 1 Gbit/s, after 3 s", "delayed", after_start(direction, streams),
                ("mb_s",), (), "delayed", uploads=direction == "up")


def trip_works() -> list[Work]:
    works = [Work("trip", "Round trip of a byte, idle", "loopback", round_trips(),
                  ("p50", "cpu_trip"), ("p90", "p99", "trips_s"), "trips"),
             Work("trip-32", "Round trips of a byte, 32 connections", "loopback", round_trips(32),
                  ("trips_s", "cpu_trip"), ("p50", "p99"), "trips")]
    for scene, title in (("loopback", "Round trip of a byte beside 8 streams {}"),
                         ("paced", "Round trip of a byte beside 8 streams {}, link paced to "
                          "100 MB/s")):
        group = "trips" if scene == "loopback" else "paced"
        works += [Work(f"{group}-bulk-{direction}", title.format(direction), scene,
                       round_trips(1, 8, direction), ("p50", "p99", "bulk_mb_s"), ("p90",), group,
                       uploads=direction == "up")
                  for direction in ("down", "up")]
    return works


def beside_works() -> list[Work]:
    details = ("alone_mb_s", "beside_mb_s")
    works = [Work("stalled-1", "Four downloads beside one stream that is never read", "loopback",
                  stalled(1, 4), ("kept",), details, "stalled"),
             Work("stalled-50", "A download of 200 MiB beside 50 streams that are read later",
                  "loopback", stalled(50, 1, 200 * MIB, 8 * MIB), ("kept",), details, "stalled",
                  rounds=7)]
    works += [Work(f"crowd-{direction}", f"16 streams {direction} with 9,000 open against 16 open",
                   "loopback", crowd(9000, 16, direction), ("cpu_growth",), details, "crowd",
                   uploads=direction == "up")
              for direction in ("down", "up")]
    return works


def distance_works() -> list[Work]:
    """Long lines that lose packets; not part of the default run."""
    works = []
    for name, path in DISTANCES.items():
        works += [
            Work(name, f"Keystrokes and new connections beside four downloads: {path.title}", name,
                 interactive(path), ("key_p50", "key_p95", "key_p99", "new_p50", "new_p95",
                                     "together_mb_s"), ("cpu_gb",), "distance"),
            Work(f"{name}-alone", f"One download alone: {path.title}", name, one_download,
                 ("download_mb_s",), (), "distance")]
    return works


def datagram_works() -> list[Work]:
    """UDP by SOCKS5; not part of the default run, since few peers have any."""
    works = [Work(f"datagrams-{streams}-{size}",
                  f"Datagrams of {size:,} bytes to and fro, {streams} "
                  f"{'association' if streams == 1 else 'associations'}", "loopback",
                  datagrams(streams, size, window), ("datagrams_s", "cpu_datagrams"),
                  ("half_lost", "half_p99", "half_cpu"), "datagrams", udp=True)
             for streams, size, window in ((1, 200, 64), (1, 1200, 64), (16, 200, 16))]
    related = ("voice_p99", "voice_lost", "question_p50", "together_mb_s")
    details = ("voice_p50", "question_p99")
    return works + [
        Work("voice", f"Voice and questions beside eight downloads: {VOICE.title}", "voice",
             voice(), related, details, "voice", udp=True),
        Work("voice-flow", f"The same beside 10 MB by datagrams, too: {VOICE.title}", "voice",
             voice(10_000_000), (*related, "flow_mb_s"), details, "voice", udp=True)]


def all_works() -> list[Work]:
    return [
        *(bulk_work(direction, streams) for direction in ("down", "up") for streams in (1, 16, 100)),
        connection_work(1), connection_work(64),
        *trip_works(),
        idle_work(1000), idle_work(5000), idle_work(9000),
        *beside_works(),
        delayed_work("down", 1), delayed_work("up", 1), delayed_work("down", 16),
        Work("delayed-first-byte", "First echoed byte of a new connection at 100 ms round trip",
             "delayed", first_byte(10), ("p50",), ("p99",), "delayed"),
        CORRECTNESS,
    ]


# Of facts one round is enough.
CORRECTNESS = Work("correctness", "What each gets right: ends, resets, replies", "loopback",
                   correctness, (), (), "correctness", rounds=1)


def quick_works() -> list[Work]:
    """The same kinds of work, smaller: for the form that checks rather than measures."""
    names = {"down-1", "down-16", "up-16", "up-100", "connections-64", "trip", "trips-bulk-down",
             "stalled-1"}
    return [*(work for work in all_works() if work.name in names), idle_work(500, 1),
            CORRECTNESS]


def scale_works() -> list[Work]:
    """How cost grows with the number of active streams; not part of the default run. Of one GiB in
    all: thousands of streams without an end are more than the kernel has memory for (tcp_mem)."""
    return [Work(f"scale-{direction}-{streams}", f"A GiB {direction} in {streams:,} streams at once",
                 "loopback", throughput(direction, streams, 1024 * MIB), ("cpu_gb", "mb_s"),
                 ("client_cpu_gb", "server_cpu_gb"), "scale",
                 uploads=direction == "up")
            for streams in (10, 100, 1000, 9000) for direction in ("down", "up")]
