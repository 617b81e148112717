"""Tables, as text for the terminal and as Markdown for documents, and the JSON record."""

from .peers import ALL, Peer
from .runner import Cell
from .works import METRICS, Work

# Each work with a cell for each peer, in the order of the table; the first is what all others are
# related to.
Results = list[tuple[Work, dict[str, Cell]]]

# Above this share of foreign processor time a figure is marked as disturbed.
FOREIGN_NOTED = 0.06


def peers_of(cells: dict[str, Cell]) -> list[Peer]:
    by_name = {peer.name: peer for peer in ALL}
    return [by_name[name] for name in cells]


def number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def figure(cell: Cell, metric: str) -> str:
    """Median, and behind it the spread."""
    value = cell.median(metric)
    if value is None:
        return "-"
    text = number(value, METRICS[metric].digits)
    spread = cell.spread(metric)
    return text if spread is None else f"{text} ±{spread * 100:.0f}%"


def ratio(cell: Cell, base: Cell | None, metric: str) -> str:
    """How this peer stands to the first one of the table."""
    value = cell.median(metric)
    one = base.median(metric) if base else None
    if value is None or not one:
        return "-"
    return f"{value / one:.2f}"


def known(names: tuple[str, ...], cells: dict[str, Cell]) -> list[str]:
    """The metrics for which at least one peer has a figure."""
    return [name for name in names if any(cell.values(name) for cell in cells.values())]


def rows(work: Work, cells: dict[str, Cell]) -> tuple[list[str], list[list[str]]]:
    """Header and body: a row for each peer that gave figures."""
    peers = peers_of(cells)
    related = known(work.metrics, cells)
    details = known(work.details, cells)
    header = ["peer"]
    for metric in [*related, *details]:
        header.append(f"{METRICS[metric].title} ({METRICS[metric].unit})")
        header += ["ratio"] if metric in related else []
    base = cells[peers[0].name]
    body = []
    for peer in peers:
        cell = cells[peer.name]
        if not cell.runs:
            continue
        row = [peer.title + (" *" if max(cell.foreign) > FOREIGN_NOTED else "")]
        for metric in related:
            row += [figure(cell, metric), ratio(cell, base, metric)]
        body.append(row + [figure(cell, metric) for metric in details])
    return header, body


def text_table(work: Work, cells: dict[str, Cell]) -> str:
    if work.group == "correctness":
        return checks_text(work, cells)
    header, body = rows(work, cells)
    widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]
    lines = [work.title, "-" * len(work.title)]
    for row in [header, *body]:
        texts = [row[0].ljust(widths[0])]
        texts += [text.rjust(width) for text, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(texts).rstrip())
    return "\n".join([*lines, *notes(cells)]) + "\n"


def markdown_table(work: Work, cells: dict[str, Cell]) -> str:
    if work.group == "correctness":
        return checks_markdown(work, cells)
    header, body = rows(work, cells)
    lines = [f"### {work.title}", "", "| " + " | ".join(header) + " |",
             "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(cells))]) + "\n"


def notes(cells: dict[str, Cell]) -> list[str]:
    """What the figures do not show by themselves."""
    lines = []
    for peer in peers_of(cells):
        cell = cells[peer.name]
        if cell.wrong:
            lines.append(f"{peer.title}: WRONG BYTES in {cell.wrong} runs")
        if cell.not_run:
            lines.append(f"{peer.title}: {cell.not_run}")
        elif cell.failures:
            last = cell.failures[-1].splitlines()[-1]
            lines.append(f"{peer.title}: {len(cell.failures)} runs failed: {last}")
    worst = max((max(cell.foreign) for cell in cells.values() if cell.foreign), default=0)
    if worst > FOREIGN_NOTED:
        lines.append(f"* others used up to {worst * 100:.0f} % of the machine meanwhile")
    return lines


def checks_of(cells: dict[str, Cell]) -> dict[str, dict[str, str]]:
    """Check -> peer -> "yes" or what happened; the first run counts."""
    result: dict[str, dict[str, str]] = {}
    for name, cell in cells.items():
        for run in cell.runs[:1]:
            for check, outcome in run.get("checks", {}).items():
                result.setdefault(check, {})[name] = outcome
    return result


def checks_text(work: Work, cells: dict[str, Cell]) -> str:
    """What each peer failed; the peers that failed nothing are named too."""
    lines = [work.title, "-" * len(work.title)]
    checks = checks_of(cells)
    for peer in peers_of(cells):
        asked = {check: by[peer.name] for check, by in checks.items() if peer.name in by}
        if not asked:
            continue
        wrong = {check: outcome for check, outcome in asked.items() if outcome != "yes"}
        lines.append(f"{peer.title}: {len(asked) - len(wrong)} of {len(asked)} right")
        lines += [f"    not: {check}: {outcome}" for check, outcome in wrong.items()]
    return "\n".join([*lines, *notes(cells)]) + "\n"


def checks_markdown(work: Work, cells: dict[str, Cell]) -> str:
    checks = checks_of(cells)
    shown = [peer for peer in peers_of(cells) if cells[peer.name].runs]
    lines = [f"### {work.title}", "", "| | " + " | ".join(peer.title for peer in shown) + " |",
             "|---" * (len(shown) + 1) + "|"]
    for check, by in checks.items():
        marks = ["yes" if by.get(peer.name) == "yes" else "no" if peer.name in by else ""
                 for peer in shown]
        lines.append(f"| {check} | " + " | ".join(marks) + " |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(cells))]) + "\n"


def as_json(results: Results, machine: dict, settings: dict, raw: list[dict]) -> dict:
    return {"machine": machine, "settings": settings,
            "peers": {peer.name: peer.title for peer in ALL},
            "metrics": {name: vars(metric) for name, metric in METRICS.items()},
            "works": [work_as_json(work, cells) for work, cells in results], "raw": raw}


def work_as_json(work: Work, cells: dict[str, Cell]) -> dict:
    return {
        "name": work.name, "title": work.title, "scene": work.scene,
        "peers": {name: {
            "median": {metric: cell.median(metric)
                       for metric in known(work.metrics + work.details, cells)},
            **vars(cell),
        } for name, cell in cells.items()},
    }


def from_json(record: dict, works: dict[str, Work]) -> Results:
    """The results of an earlier run; works that are no longer known are left out."""
    return [(works[one["name"]], {name: Cell(**{key: value for key, value in cell.items()
                                                if key != "median"})
                                  for name, cell in one["peers"].items()})
            for one in record["works"] if one["name"] in works]
