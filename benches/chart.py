"""The chart of what sessions cost a request: bars for each kind of request, as an SVG.

It is written by hand: a few kilobytes whose changes can be reviewed, that follow the reader's light or dark theme, and
that come out the same wherever they are drawn.
"""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import SubElement

TITLE = "What a session adds to a request, in microseconds"
LABELS = {"stock": "stock Flask", "tuned": "tuned Python", "ours": "flask-fastsession"}

WIDTH = 800
MARGIN = 20
HEADER_HEIGHT = 84
BARS_LEFT = 164
BARS_WIDTH = 510
BAR_HEIGHT = 13
BAR_GAP = 2
GROUP_GAP = 18
GROUP_HEIGHT = len(LABELS) * (BAR_HEIGHT + BAR_GAP) + GROUP_GAP
LEGEND_WIDTH = 130
LINE_HEIGHT = 17
# From the middle of a line of text down to its base line.
HALF_DIGIT = 4

LIGHT = {
    "text": "#1f2328",
    "note": "#59636e",
    "card": "#ffffff",
    "border": "#d1d9e0",
    "stock": "#a3acb7",
    "tuned": "#dba63a",
    "ours": "#0969da",
    "axis": "#818b98",
}
DARK = {
    "text": "#f0f6fc",
    "note": "#9198a1",
    "card": "#0d1117",
    "border": "#3d444d",
    "stock": "#6a727c",
    "tuned": "#b5831f",
    "ours": "#4493f8",
    "axis": "#656c76",
}


def declarations(colours: t.Mapping[str, str]) -> str:
    return "; ".join(f"--{name}: {colour}" for name, colour in colours.items())


# The chart follows the theme of the system, or of the page that has it in its HTML and names a theme. It draws its own
# background, because a picture does not know the page's. Rules name the chart, because they apply to the whole page.
STYLE = f"""
    .chart {{ {declarations(LIGHT)} }}
    @media (prefers-color-scheme: dark) {{ .chart {{ {declarations(DARK)} }} }}
    [data-theme="light"] .chart {{ {declarations(LIGHT)} }}
    [data-theme="dark"] .chart {{ {declarations(DARK)} }}
    .chart text {{ font: 12px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }}
    .chart text {{ fill: var(--text) }}
    .chart text.label {{ font-size: 13px }}
    .chart text.title, .chart text.ratio {{ font-size: 16px }}
    .chart text.title, .chart text.ratio, .chart text.ours {{ font-weight: 600 }}
    .chart text.note {{ fill: var(--note) }}
    .chart rect.card {{ fill: var(--card); stroke: var(--border) }}
    .chart rect.stock {{ fill: var(--stock) }}
    .chart rect.tuned {{ fill: var(--tuned) }}
    .chart rect.ours {{ fill: var(--ours) }}
    .chart line.axis {{ stroke: var(--axis) }}
  """


def draw(costs: t.Mapping[str, t.Mapping[str, float]], caption: t.Sequence[str]) -> str:
    """Return the SVG for microseconds by kind of request and implementation."""
    bars_bottom = HEADER_HEIGHT + len(costs) * GROUP_HEIGHT - GROUP_GAP
    height = bars_bottom + MARGIN + len(caption) * LINE_HEIGHT + MARGIN
    size = {"width": f"{WIDTH}", "height": f"{height}", "viewBox": f"0 0 {WIDTH} {height}"}
    about = {"class": "chart", "role": "img", "aria-label": TITLE}
    svg = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, **about})
    SubElement(svg, "style").text = STYLE
    add(svg, "rect", "card", x=0.5, y=0.5, width=WIDTH - 1, height=height - 1, rx=6)
    add_header(svg)
    scale = BARS_WIDTH / max(cost for group in costs.values() for cost in group.values())
    for number, (name, group) in enumerate(costs.items()):
        add_group(svg, name, group, top=HEADER_HEIGHT + number * GROUP_HEIGHT, scale=scale)
    add(svg, "line", "axis", x1=BARS_LEFT, y1=HEADER_HEIGHT - BAR_GAP, x2=BARS_LEFT, y2=bars_bottom)
    for number, line in enumerate(caption, start=1):
        add_text(svg, "note", line, x=MARGIN, y=bars_bottom + MARGIN + number * LINE_HEIGHT)
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def add_header(svg: Element) -> None:
    add_text(svg, "title", TITLE, x=MARGIN, y=34)
    base_line = 62
    for number, (implementation, label) in enumerate(LABELS.items()):
        left = BARS_LEFT + number * LEGEND_WIDTH
        add(svg, "rect", implementation, x=left, y=base_line - 10, width=11, height=11)
        add_text(svg, "label", label, x=left + 17, y=base_line)
    add_text(svg, "note", "stock / ours", x=WIDTH - MARGIN, y=base_line, anchor="end")


def add_group(svg: Element, name: str, costs: t.Mapping[str, float], *, top: int, scale: float) -> None:
    """Add the bars for one kind of request, between its name and its ratio."""
    base_line = top + (GROUP_HEIGHT - GROUP_GAP - BAR_GAP) / 2 + HALF_DIGIT
    add_text(svg, "label", name, x=BARS_LEFT - 10, y=base_line, anchor="end")
    for number, implementation in enumerate(LABELS):
        add_bar(svg, implementation, costs[implementation], top=top + number * (BAR_HEIGHT + BAR_GAP), scale=scale)
    ratio = f"{costs['stock'] / costs['ours']:.1f}x"
    add_text(svg, "ratio", ratio, x=WIDTH - MARGIN, y=base_line, anchor="end")


def add_bar(svg: Element, implementation: str, cost: float, *, top: int, scale: float) -> None:
    # Where there is next to nothing to measure, noise may leave less than nothing.
    width = max(cost * scale, 0)
    add(svg, "rect", implementation, x=BARS_LEFT, y=top, width=width, height=BAR_HEIGHT)
    add_text(svg, implementation, f"{cost:.1f}", x=BARS_LEFT + width + 5, y=top + BAR_HEIGHT / 2 + HALF_DIGIT)


def add_text(svg: Element, kind: str, text: str, *, x: float, y: float, anchor: str = "start") -> None:
    element = add(svg, "text", kind, x=x, y=y)
    element.set("text-anchor", anchor)
    element.text = text


def add(svg: Element, tag: str, kind: str, **numbers: float) -> Element:
    return SubElement(svg, tag, {"class": kind, **{name: f"{number:.5g}" for name, number in numbers.items()}})
