"""Runs every work through every peer, interleaved, and keeps what came out."""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

from .namespaces import NamespaceError
from .peers import Peer, Running
from .processes import ProcessError
from .scenes import Scene, Tools
from .works import Failure, Load, Work

READY_SECONDS = 15


@dataclass
class Cell:
    """What one peer gave in one work: the figures of each good run, and why others failed."""
    runs: list[dict] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wrong: int = 0
    slow: int = 0
    foreign: list[float] = field(default_factory=list)
    not_run: str = ""

    def values(self, metric: str) -> list[float]:
        return [run[metric] for run in self.runs if run.get(metric) is not None]

    def median(self, metric: str) -> float | None:
        values = self.values(metric)
        return statistics.median(values) if values else None

    def spread(self, metric: str) -> float | None:
        """Half of the distance between the extremes, relative to the median."""
        values = self.values(metric)
        middle = self.median(metric)
        if len(values) < 2 or not middle:
            return None
        return (max(values) - min(values)) / 2 / middle


class Runner:
    def __init__(self, tools: Tools, peers: list[Peer], unavailable: dict[str, str],
                 repeat: int, seconds: float, time_limit: float, end: float | None):
        """`time_limit` is for opening and for ending a run's streams; after `end` (of the monotonic
        clock) no further run is begun."""
        self.tools = tools
        self.peers = peers
        self.unavailable = unavailable
        self.repeat = repeat
        self.seconds = seconds
        self.time_limit = time_limit
        self.end = end
        self.raw: list[dict] = []

    def run(self, work: Work) -> dict[str, Cell]:
        """One row for each peer."""
        cells = {peer.name: Cell() for peer in self.peers}
        for peer in self.peers:
            cells[peer.name].not_run = self.unavailable.get(peer.name, "") or why_not(peer, work)
        for round_number in range(work.rounds or self.repeat):
            for peer in self.peers:
                cell = cells[peer.name]
                # What failed twice in a row will fail again, slowly.
                if cell.not_run or (not cell.runs and len(cell.failures) >= 2):
                    continue
                if self.end and time.monotonic() > self.end:
                    cell.not_run = "no time left"
                    continue
                self._run_once(work, peer, cell, round_number)
        return cells

    def _run_once(self, work: Work, peer: Peer, cell: Cell, round_number: int) -> None:
        self._progress(f"{work.name:20} {round_number + 1} {peer.name}")
        load = None
        try:
            scene = Scene(self.tools, work.scene, round_number + 1)
            try:
                running = peer.start(scene)
                wait_until_ready(scene, running)
                load = Load(scene, running, self.seconds, self.time_limit)
                figures = work.run(load)
                scene.check()
                cell.runs.append(figures)
                cell.foreign.append(foreign_share(load))
            finally:
                scene.close()
        except Failure as failure:
            cell.failures.append(str(failure))
            cell.wrong += failure.wrong
            cell.slow += failure.slow
        except (ProcessError, NamespaceError) as failure:
            cell.failures.append(str(failure))
        if load:
            self.raw += [{"peer": peer.name, "of": work.name, "round": round_number, **line}
                         for line in load.raw]
        if cell.failures:
            self._progress(f"{work.name:20} {peer.name} failed: {cell.failures[-1]}")

    @staticmethod
    def _progress(text: str) -> None:
        print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def why_not(peer: Peer, work: Work) -> str:
    """Why the peer is not put to the work; empty if it is."""
    if work.udp and not peer.udp:
        return "not run: it carries no datagrams"
    if work.uploads and not peer.uploads:
        return "not run: it carries no uploads"
    reason = peer.unfit.get(work.group)
    return f"not run: {reason}" if reason else ""


def wait_until_ready(scene: Scene, running: Running) -> None:
    """Sends a byte through the peer until it comes back: listening is not enough, the link between
    its halves must be up as well."""
    deadline = time.monotonic() + READY_SECONDS
    last = ""
    while time.monotonic() < deadline:
        scene.check()
        done = subprocess.run(
            [*scene.near.prefix, str(scene.tools.load), "connections", *running.route,
             "--count", "1", "--time-limit", "3"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if done.returncode == 3:
            raise Failure("the first byte came back wrong", wrong=True)
        last = json.loads(done.stdout)["first_failure"] if done.stdout else done.stderr
        time.sleep(0.05)
    raise Failure(f"not ready within {READY_SECONDS} s: {last}", slow=True)


def foreign_share(load: Load) -> float:
    """The part of the machine that others used during the measurement, 0 to 1."""
    elapsed = sum(line.get("elapsed_seconds", 0) for line in load.raw)
    foreign = sum(line.get("foreign_cpu_seconds", 0) for line in load.raw)
    return foreign / elapsed / (os.cpu_count() or 1) if elapsed else 0.0
