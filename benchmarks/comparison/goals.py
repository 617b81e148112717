"""What muxsocks wants to reach: ratios to peers of the same run, and a few absolute figures.

Nothing depends on them; they are printed behind the tables so that everyone sees what falls short.
"""

from dataclasses import dataclass

from . import limit
from .report import Results
from .works import METRICS

OWN = "muxsocks"
LIMIT = "the limit"  # limit.py


@dataclass(frozen=True)
class Goal:
    work: str
    metric: str
    # The peer whose figure divides ours, or LIMIT; none: the figure itself counts.
    against: str | None
    must: float
    aim: float


def throughput_goals() -> list[Goal]:
    goals = []
    for direction in ("down", "up"):
        for streams, relay, ssh_cpu, ssh_speed in (
                (1, (2.5, 2.0), (1.0, 0.85), (1.0, 1.2)),
                (16, (2.2, 1.8), (0.8, 0.65), (1.3, 1.8)),
                (100, (2.2, 1.8), (0.5, 0.35), (1.8, 2.5))):
            work = f"{direction}-{streams}"
            goals += [Goal(work, "cpu_gb", "relay", *relay),
                      Goal(work, "cpu_gb", LIMIT, 1.15, 1.0),
                      Goal(work, "cpu_gb", "haproxy", 0.9, 0.65),
                      Goal(work, "cpu_gb", "ssh", *ssh_cpu),
                      Goal(work, "mb_s", "ssh", *ssh_speed),
                      Goal(work, "mb_s", "v2ray", 4, 6),
                      Goal(work, "mb_s", "trojan", 1.8, 2.5)]
    return goals


def distance_goals() -> list[Goal]:
    """Over the paths of paths.py, in round trips and MB/s; must and aim."""
    figures = ("key_p50", "key_p95", "key_p99", "new_p50", "new_p95", "together_mb_s")
    wanted = {
        "distance-1": ((1.1, 1.02), (1.3, 1.1), (1.6, 1.3), (2.3, 2.05), (3, 2.3), (9, 11), (9, 11)),
        "distance-2": ((1.2, 1.02), (1.5, 1.1), (2.2, 1.4), (2.5, 2.05), (3.5, 2.5), (8, 10.5),
                       (8, 10.5)),
        "distance-3": ((1.3, 1.3), (1.6, 1.6), (2, 2), (2.5, 2.5), (3, 3), (5.6, 5.6), (5.8, 5.8)),
        "distance-4": ((1.2, 1.2), (1.5, 1.5), (2, 2), (2.5, 2.5), (3, 3), (40, 40), (35, 35)),
    }
    goals = []
    for work, limits in wanted.items():
        goals += [Goal(work, figure, None, *limit) for figure, limit in zip(figures, limits)]
        goals.append(Goal(f"{work}-alone", "download_mb_s", None, *limits[-1]))
    return goals


GOALS = [
    *throughput_goals(),
    Goal("connections-64", "conn_s", "ssh", 1.2, 1.4),
    Goal("connections-64", "cpu_1000", "ssh", 0.9, 0.75),
    Goal("connections-64", "conn_s", "microsocks", 0.8, 1.0),
    Goal("trip", "p50", "ssh", 1.0, 0.8),
    *(goal for direction in ("down", "up") for goal in (
        Goal(f"trips-bulk-{direction}", "p50", "ssh", 0.5, 0.4),
        Goal(f"trips-bulk-{direction}", "p99", "ssh", 0.5, 0.33),
        Goal(f"trips-bulk-{direction}", "p50", "trojan", 1.5, 1.0),
        Goal(f"trips-bulk-{direction}", "p99", "trojan", 1.5, 1.0),
        Goal(f"trips-bulk-{direction}", "bulk_mb_s", "ssh", 1.0, 1.0),
        Goal(f"paced-bulk-{direction}", "p99", None, 5, 3))),
    *(Goal(f"idle-{streams}", metric, None, 2, 1)
      for streams in (1000, 5000, 9000) for metric in ("client_kib", "server_kib")),
    Goal("idle-9000", "open_s", None, 2, 1.2),
    Goal("stalled-1", "kept", None, 0.95, 1.0),
    Goal("stalled-50", "kept", None, 0.9, 1.0),
    Goal("delayed-down-1", "mb_s", "direct", 0.9, 0.97),
    Goal("delayed-up-1", "mb_s", "direct", 0.9, 0.97),
    Goal("delayed-first-byte", "p50", None, 205, 202),
    Goal("crowd-down", "cpu_growth", None, 1.1, 1.0),
    Goal("crowd-up", "cpu_growth", None, 1.1, 1.0),
    *distance_goals(),
    *(goal for work in ("datagrams-1-200", "datagrams-1-1200", "datagrams-16-200")
      for goal in (*(Goal(work, figure, peer, *limits) for peer in ("shadowsocks", "dante")
                     for figure, limits in (("datagrams_s", (2, 3)), ("cpu_datagrams", (0.5, 0.33)))),
                   Goal(work, "half_lost", None, 0, 0))),
    # A round trip of the path and 10 ms; half of what is fair beside eight, and all of it.
    *(goal for work in ("voice", "voice-flow")
      for goal in (Goal(work, "voice_p99", None, 45, 40), Goal(work, "voice_lost", None, 1, 0.1),
                   Goal(work, "question_p50", None, 40, 37),
                   Goal(work, "together_mb_s", None, 8, 9))),
    Goal("voice-flow", "flow_mb_s", None, 0.55, 1.0),
]


def measured(goal: Goal, results: Results, cipher_seconds: float | None) -> float | None:
    """The figure that the goal is about, if this run has it."""
    for work, cells in results:
        if work.name != goal.work or OWN not in cells:
            continue
        own = cells[OWN].median(goal.metric)
        if goal.against is None or own is None:
            return own
        name = "relay" if goal.against == LIMIT else goal.against
        other = cells[name].median(goal.metric) if name in cells else None
        other = limit.of(other, cipher_seconds) if goal.against == LIMIT else other
        return own / other if other else None
    return None


def rows(results: Results, cipher_seconds: float | None) -> list[list[str]]:
    """work, figure, against, must, aim, measured, verdict, for all works that were run.
    `cipher_seconds`: what machine.describe measured."""
    table = []
    done = {work.name for work, cells in results if OWN in cells}
    for goal in GOALS:
        if goal.work not in done:
            continue
        metric = METRICS[goal.metric]
        sign = ">=" if metric.more_is_better else "<="
        unit = f" {metric.unit}" if goal.against is None and metric.unit not in ("times", "of 1") \
            else ""
        limits = [goal.work, metric.title, goal.against or "-", f"{sign} {goal.must:g}{unit}",
                  f"{sign} {goal.aim:g}{unit}"]
        value = measured(goal, results, cipher_seconds)
        if value is None:
            table.append([*limits, "-", "not measured"])
            continue

        def reaches(limit: float, more: bool = metric.more_is_better, got: float = value) -> bool:
            return got >= limit if more else got <= limit

        verdict = "aim" if reaches(goal.aim) else "must" if reaches(goal.must) else "SHORT"
        table.append([*limits, f"{value:.2f}{unit}", verdict])
    return table


HEADER = ["work", "figure", "against", "must", "aim", "measured", "reached"]


def text_table(results: Results, cipher_seconds: float | None) -> str:
    body = rows(results, cipher_seconds)
    if not body:
        return ""
    widths = [max(len(row[i]) for row in [HEADER, *body]) for i in range(len(HEADER))]
    lines = ["Goals", "-----"]
    lines += ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip()
              for row in [HEADER, *body]]
    return "\n".join(lines) + "\n"


def markdown_table(results: Results, cipher_seconds: float | None) -> str:
    body = rows(results, cipher_seconds)
    if not body:
        return ""
    lines = ["### Goals", "", "| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join(lines) + "\n"
