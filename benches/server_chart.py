"""The chart of what requests with server-side sessions take: bars for each kind of request at each store, as an SVG."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import SubElement

from benches.chart import BAR_GAP
from benches.chart import BAR_HEIGHT
from benches.chart import BARS_LEFT
from benches.chart import BARS_WIDTH
from benches.chart import HALF_DIGIT
from benches.chart import LINE_HEIGHT
from benches.chart import MARGIN
from benches.chart import STYLE
from benches.chart import WIDTH
from benches.chart import add
from benches.chart import add_bar
from benches.chart import add_text

TITLE = "What a request takes with sessions on the server, in microseconds"
LABELS = {"peer": "Flask-Session", "ours": "flask-fastsession"}
# As the other chart colours them.
CLASSES = {"peer": "stock", "ours": "ours"}

HEADER_HEIGHT = 76
LEGEND_WIDTH = 130
PLACE_HEIGHT = 28
PLACE_GAP = 10
GROUP_GAP = 10
GROUP_HEIGHT = len(LABELS) * (BAR_HEIGHT + BAR_GAP) + GROUP_GAP

Request: t.TypeAlias = "t.Mapping[str, t.Any]"


def draw(places: t.Mapping[str, t.Mapping[str, Request]], caption: t.Sequence[str]) -> str:
    """Return the SVG for microseconds by place, kind of request and side, among what else is known of a request.

    Each place has a scale of its own: a bar that is half as long took half the time, within a place.
    """
    heights = [PLACE_HEIGHT + len(requests) * GROUP_HEIGHT + PLACE_GAP for requests in places.values()]
    bars_bottom = HEADER_HEIGHT + sum(heights) - PLACE_GAP - GROUP_GAP
    height = bars_bottom + MARGIN + len(caption) * LINE_HEIGHT + MARGIN
    size = {"width": f"{WIDTH}", "height": f"{height}", "viewBox": f"0 0 {WIDTH} {height}"}
    about = {"class": "chart", "role": "img", "aria-label": TITLE}
    svg = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, **about})
    SubElement(svg, "style").text = STYLE
    add(svg, "rect", "card", x=0.5, y=0.5, width=WIDTH - 1, height=height - 1, rx=6)
    add_header(svg)
    top = HEADER_HEIGHT
    for (name, requests), place_height in zip(places.items(), heights, strict=True):
        add_place(svg, name, requests, top=top)
        top += place_height
    for number, line in enumerate(caption, start=1):
        add_text(svg, "note", line, x=MARGIN, y=bars_bottom + MARGIN + number * LINE_HEIGHT)
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def add_header(svg: Element) -> None:
    add_text(svg, "title", TITLE, x=MARGIN, y=34)
    base_line = 62
    for number, (side, label) in enumerate(LABELS.items()):
        left = BARS_LEFT + number * LEGEND_WIDTH
        add(svg, "rect", CLASSES[side], x=left, y=base_line - 10, width=11, height=11)
        add_text(svg, "label", label, x=left + 17, y=base_line)
    add_text(svg, "note", "Flask-Session / ours", x=WIDTH - MARGIN, y=base_line, anchor="end")


def add_place(svg: Element, name: str, requests: t.Mapping[str, Request], *, top: int) -> None:
    """Add the bars for one place, below its name."""
    add_text(svg, "label", name, x=BARS_LEFT, y=top + PLACE_HEIGHT - 10)
    scale = BARS_WIDTH / max(request[side] for request in requests.values() for side in LABELS)
    first = top + PLACE_HEIGHT
    for number, (path, request) in enumerate(requests.items()):
        add_group(svg, path, request, top=first + number * GROUP_HEIGHT, scale=scale)
    bottom = first + len(requests) * GROUP_HEIGHT - GROUP_GAP
    add(svg, "line", "axis", x1=BARS_LEFT, y1=first - BAR_GAP, x2=BARS_LEFT, y2=bottom)


def add_group(svg: Element, path: str, request: Request, *, top: int, scale: float) -> None:
    base_line = top + (GROUP_HEIGHT - GROUP_GAP - BAR_GAP) / 2 + HALF_DIGIT
    add_text(svg, "label", path, x=BARS_LEFT - 10, y=base_line, anchor="end")
    for number, side in enumerate(LABELS):
        add_bar(svg, CLASSES[side], request[side], top=top + number * (BAR_HEIGHT + BAR_GAP), scale=scale)
    ratio = f"{request['peer'] / request['ours']:.1f}x"
    add_text(svg, "ratio", ratio, x=WIDTH - MARGIN, y=base_line, anchor="end")
