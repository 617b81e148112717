"""Bar charts as SVG, readable on light and dark backgrounds, without any library."""

from html import escape
from pathlib import Path

from .report import Results, known, number, peers_of
from .runner import Cell
from .works import METRICS, Work

WIDTH = 760
LABEL_WIDTH = 210
BAR_HEIGHT = 20
GAP = 8
TOP = 58
MARGIN = 12
VALUE_WIDTH = 110

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #57606a; }
  .title { font-weight: 600; font-size: 15px; }
  .note { font-size: 12px; }
  .bar { fill: #8c959f; } .own { fill: #0969da; }
  .spread { stroke: #57606a; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #c9d1d9; } .spread { stroke: #c9d1d9; }
    .bar { fill: #6e7681; } .own { fill: #58a6ff; }
  }
"""


def bar_chart(work: Work, cells: dict[str, Cell], metric: str) -> str | None:
    """One bar a peer, with a line from the smallest to the largest run; none without figures."""
    shown = [(peer, cells[peer.name]) for peer in peers_of(cells)
             if cells[peer.name].values(metric)]
    if not shown:
        return None
    about = METRICS[metric]
    largest = max(max(cell.values(metric)) for _, cell in shown) or 1
    scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH - MARGIN) / largest
    height = TOP + len(shown) * (BAR_HEIGHT + GAP) + MARGIN
    direction = "more is better" if about.more_is_better else "less is better"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(work.title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{MARGIN}" y="24">{escape(work.title)}</text>',
        f'<text class="note" x="{MARGIN}" y="43">{escape(about.title)}, {escape(about.unit)} '
        f"({direction}; median, and the span of all runs)</text>",
    ]
    for row, (peer, cell) in enumerate(shown):
        y = TOP + row * (BAR_HEIGHT + GAP)
        value = cell.median(metric)
        low, high = (LABEL_WIDTH + edge(cell.values(metric)) * scale for edge in (min, max))
        middle = y + BAR_HEIGHT / 2
        style = "own" if peer.name.startswith("muxsocks") else "bar"
        lines += [
            f'<text x="{LABEL_WIDTH - 8}" y="{middle + 4.5:.1f}" text-anchor="end">'
            f"{escape(peer.title)}</text>",
            f'<rect class="{style}" x="{LABEL_WIDTH}" y="{y}" width="{max(value * scale, 1):.1f}" '
            f'height="{BAR_HEIGHT}" rx="2"/>',
            f'<line class="spread" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>',
            f'<text x="{high + 8:.1f}" y="{middle + 4.5:.1f}">'
            f"{number(value, about.digits)}</text>",
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def write_charts(results: Results, folder: Path) -> list[Path]:
    """One file for each metric of a work that its table relates to muxsocks."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for work, cells in results:
        for metric in known(work.metrics, cells):
            chart = bar_chart(work, cells, metric)
            if chart:
                path = folder / f"{work.name}-{metric.replace('_', '-')}.svg"
                path.write_text(chart)
                written.append(path)
    return written
