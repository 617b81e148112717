"""The command line of benchmarks/compare."""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import goals, machine, report, svg
from .keys import Keys
from .namespaces import namespaces_work
from .packages import Packages
from .paths import PATHS
from .peers import ALL, Peer
from .peers.command import CommandPeer
from .runner import Runner
from .scenes import Tools
from .works import (Work, all_works, datagram_works, distance_works, quick_works,
                    scale_works)

PROJECT = Path(__file__).resolve().parents[2]
QUICK_PEERS = "muxsocks,muxsocks-plain,direct,ssh,microsocks"
# After this no further run of --quick is begun; the last ones end well within five minutes.
QUICK_SECONDS = 220
QUICK_TIME_LIMIT = 15
TIME_LIMIT = 20
DESCRIPTORS = 65536


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="compare", description="Compares muxsocks with its peers on this machine.",
        epilog="See benchmarks/README.md for what the figures mean.")
    parser.add_argument("--quick", action="store_true",
                        help="a short check of a few peers; fails only on wrong bytes")
    parser.add_argument("--peers", help="comma-separated; the first one is the base of the ratios")
    parser.add_argument("--works", help="comma-separated names or groups (see --list)")
    parser.add_argument("--list", action="store_true", help="list peers and works, and end")
    parser.add_argument("--repeat", type=int, help="runs of each work and peer (default 3, quick 1)")
    parser.add_argument("--seconds", type=float, help="length of a run (default 5, quick 1)")
    parser.add_argument("--congestion", default="reno",
                        help="for all programs that do not choose: reno (default), cubic, bbr")
    parser.add_argument("--tcp-memory", type=int, default=64, metavar="MIB",
                        help="distance: the most that a socket may hold (default 64)")
    parser.add_argument("--peer-command", nargs=3, action="append", default=[],
                        metavar=("NAME", "FAR", "NEAR"),
                        help="one more peer: the shell commands of its two halves; "
                             "see comparison/peers/command.py")
    parser.add_argument("--build", type=Path, default=PROJECT / "build" / "release",
                        help="where the programs are (default build/release)")
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "benchmarks",
                        help="folder for JSON, Markdown and charts (default build/benchmarks)")
    parser.add_argument("--add", action="store_true",
                        help="keep the works in the output folder that are not run again")
    parser.add_argument("--yes", action="store_true",
                        help="unpack missing packages without asking (nothing is installed)")
    parser.add_argument("--no-namespaces", action="store_true",
                        help="use the machine's own loopback; no paced link, rough figures")
    return parser.parse_args()


def select(names: str | None, known: list, kind: str, groups=lambda one: ()) -> list:
    """The chosen ones, in the order in which they were named."""
    if not names:
        return known
    chosen = []
    for name in names.split(","):
        found = [one for one in known if name == one.name or name in groups(one)]
        if not found:
            sys.exit(f"compare: there is no {kind} \"{name}\"; see --list")
        chosen += [one for one in found if one not in chosen]
    return chosen


def known_works() -> dict[str, Work]:
    return {work.name: work
            for work in [*all_works(), *distance_works(), *datagram_works(), *scale_works(),
                         *quick_works()]}


def choose(options: argparse.Namespace) -> tuple[list[Peer], list[Work]]:
    peers = select(options.peers or (QUICK_PEERS if options.quick else ",".join(
        peer.name for peer in ALL if not peer.only_if_named)), ALL, "peer")
    if options.works:
        works = select(options.works, list(known_works().values()), "work",
                       lambda work: (work.group,))
    else:
        works = quick_works() if options.quick else all_works()
    if options.no_namespaces:
        # The machine's own loopback is not paced, nor has it two ends.
        works = [work for work in works
                 if work.scene != "paced" and work.scene not in PATHS]
    return peers, works


def print_lists() -> None:
    print("peers")
    for peer in ALL:
        print(f"  {peer.name:16} {peer.title}")
    print("works (group: name)")
    for work in [*all_works(), *distance_works(), *datagram_works(), *scale_works()]:
        print(f"  {work.group + ':':13} {work.name:20} {work.title}")


def prepare(options: argparse.Namespace, folder: Path) -> Tools:
    options.build = options.build.resolve()
    load = options.build / "muxsocks-load"
    if not load.exists():
        sys.exit(f"compare: {load} is missing; build it first:\n"
                 "  cmake --preset release && cmake --build --preset release")
    relay, wan = options.build / "muxsocks-relay", options.build / "muxsocks-wan"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Tools(load=load, relay=relay if relay.exists() else None,
                 wan=wan if wan.exists() else None,
                 client=options.build / "muxsocks-client",
                 server=options.build / "muxsocks-server",
                 packages=Packages(cache / "muxsocks-benchmarks"), keys=Keys(folder / "keys"),
                 folder=folder, congestion=options.congestion,
                 namespaces=not options.no_namespaces, tcp_memory=options.tcp_memory << 20)


def find_unavailable(peers: list[Peer], tools: Tools, ask: bool) -> dict[str, str]:
    wanted = {program: package for peer in peers for program, package in peer.programs.items()}
    missing = tools.packages.bring(wanted, ask)
    reasons = {}
    for peer in peers:
        why = [missing[program] for program in peer.programs if program in missing]
        if why or peer.missing(tools):
            reasons[peer.name] = "not available: " + (why[0] if why else peer.missing(tools))
    return reasons


def raise_limits() -> None:
    """Thousands of streams need descriptors in every program, and there is one process each in
    some of the peers."""
    for wanted in (DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        except (ValueError, OSError):
            continue


def choose_network(options: argparse.Namespace) -> None:
    """Falls back to the machine's own loopback for --quick, which only checks."""
    why = "" if options.no_namespaces else namespaces_work(options.congestion)
    if not why:
        return
    if not options.quick:
        sys.exit(f"compare: {why}")
    print(f"compare: {why}; using the machine's own loopback", file=sys.stderr)
    options.no_namespaces = True


def run(options: argparse.Namespace, folder: Path) -> int:
    choose_network(options)
    peers, works = choose(options)
    tools = prepare(options, folder)
    unavailable = find_unavailable(peers, tools, ask=not options.yes)
    if any(work.scene == "delayed" for work in works) and tools.relay is None:
        print("compare: muxsocks-relay is not built, works with delay are left out",
              file=sys.stderr)
        works = [work for work in works if work.scene != "delayed"]
    if any(work.scene in PATHS for work in works) and tools.wan is None:
        print("compare: muxsocks-wan is not built, works over a distance are left out",
              file=sys.stderr)
        works = [work for work in works if work.scene not in PATHS]
    about = machine.describe(tools, peers)
    settings = {"repeat": options.repeat or (1 if options.quick else 3),
                "seconds": options.seconds or (1 if options.quick else 5),
                "quick": options.quick, "congestion": options.congestion,
                "tcp_memory": tools.tcp_memory,
                "began": time.strftime("%Y-%m-%d %H:%M:%S %Z")}
    print("\n".join(machine.as_lines(about)), end="\n\n", flush=True)
    for name, why in unavailable.items():
        print(f"{name}: {why}")
    runner = Runner(tools, peers, unavailable, settings["repeat"], settings["seconds"],
                    QUICK_TIME_LIMIT if options.quick else TIME_LIMIT,
                    time.monotonic() + QUICK_SECONDS if options.quick else None)
    earlier = read_earlier(options.output) if options.add else {"works": [], "raw": []}
    about["versions"] = earlier.get("machine", {}).get("versions", {}) | about["versions"]
    results: report.Results = []
    for work in works:
        results.append((work, runner.run(work)))
        print(report.text_table(*results[-1]), flush=True)
        # After each work, so that an interrupted comparison leaves what it has.
        write_files(options.output, together(earlier, results), about, settings,
                    earlier["raw"] + runner.raw)
    print(goals.text_table(results, about["cipher_seconds_per_gb"]), flush=True)
    return judge(results, options.quick)


def read_earlier(output: Path) -> dict:
    file = output / "results.json"
    if not file.exists():
        sys.exit(f"compare: there is no {file} to add to")
    return json.loads(file.read_text())


def together(earlier: dict, results: report.Results) -> report.Results:
    """The new results and, of works that were not run again, the earlier ones, in the usual
    order."""
    order = list(known_works())
    everything = {work.name: (work, cells)
                  for work, cells in [*report.from_json(earlier, known_works()), *results]}
    return sorted(everything.values(), key=lambda result: order.index(result[0].name))


def write_files(output: Path, results: report.Results, about: dict, settings: dict,
                raw: list[dict]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    record = report.as_json(results, about, settings, raw)
    (output / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    text = "\n".join([*(f"- {line}" for line in machine.as_lines(about)), "",
                      *(report.markdown_table(work, cells) for work, cells in results),
                      goals.markdown_table(results, about["cipher_seconds_per_gb"])])
    (output / "results.md").write_text(text)
    svg.write_charts(results, output / "charts")


def judge(results: report.Results, quick: bool) -> int:
    """0; 3 when muxsocks carried wrong bytes; 1 when one of its runs failed for another reason than
    time or, in the quick form, when none was good: then nothing was checked."""
    own = [cell for _, cells in results for name, cell in cells.items()
           if name.startswith("muxsocks")]
    if any(cell.wrong for cell in own):
        return 3
    if quick:
        return 0 if any(cell.runs for cell in own) or not own else 1
    return 1 if any(len(cell.failures) > cell.slow for cell in own) else 0


def stop_orderly(_number, _frame):
    raise KeyboardInterrupt


def main() -> int:
    options = arguments()
    ALL.extend(CommandPeer(*words) for words in options.peer_command)
    if options.list:
        print_lists()
        return 0
    signal.signal(signal.SIGTERM, stop_orderly)
    raise_limits()
    folder = Path(tempfile.mkdtemp(prefix="muxsocks-compare-"))
    try:
        return run(options, folder)
    except KeyboardInterrupt:
        print("compare: interrupted", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
