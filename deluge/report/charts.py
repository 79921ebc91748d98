"""Charts as SVG text. Pure; every number is formatted here, every text is escaped here, nothing else reaches the page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 8.0, 12.0, 26.0
MOST_BARS = 90


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its parts from the bottom up as (style, value), what a pointer over it is told, and a label below."""

    parts: tuple[tuple[str, float], ...]
    title: str
    label: str = ""


def escaped(text: object) -> str:
    """Text that is safe between tags and in attributes; characters that no page may hold are shown as a box."""
    plain = str(text).encode("utf-8", "replace").decode("utf-8")
    return html.escape("".join(char if char in "\n\t" or char.isprintable() else "\ufffd" for char in plain), quote=True)


def bars(data: Sequence[Bar], *, label: str, limit: float | None = None, limit_label: str = "", top: float = 0.0) -> str:
    """A bar chart with an axis and, where there is one, the line of a limit. ``label`` says what it shows, for readers."""
    highest = max([sum(value for _, value in bar.parts) for bar in data] + [limit or 0.0, top, 1e-9])
    ceiling = _ceiling(highest)
    width = (WIDTH - LEFT - RIGHT) / max(1, len(data))
    drawn = [_axis(ceiling)]
    for number, bar in enumerate(data):
        drawn.append(_bar(bar, LEFT + number * width, width, ceiling))
    drawn += _labels(data, width)
    if limit:
        y = _y(limit, ceiling)
        drawn.append(f'<line class="limit" x1="{LEFT:.1f}" x2="{WIDTH - RIGHT:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text class="limit" x="{WIDTH - RIGHT - 2:.1f}" y="{y - 4:.1f}" text-anchor="end">'
                     f"{escaped(limit_label)}</text>")
    return (f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escaped(label)}" '
            f'preserveAspectRatio="xMidYMid meet">{"".join(drawn)}</svg>')


def legend(names: Iterable[tuple[str, str]]) -> str:
    """What the colours mean: (style, text) pairs."""
    items = "".join(f'<li><i class="{escaped(style)}"></i>{escaped(text)}</li>' for style, text in names)
    return f'<ul class="legend">{items}</ul>'


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[int] = ()) -> str:
    """A table; the columns in ``numbers`` are set flush right."""
    right = set(numbers)
    head = "".join(f'<th{_right(column, right)}>{escaped(text)}</th>' for column, text in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{_right(column, right)}>{escaped(cell)}</td>" for column, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def shares(parts: Mapping[str, float], style: Mapping[str, str]) -> tuple[tuple[str, float], ...]:
    """The parts of a stacked bar, in the order of the styles."""
    return tuple((style[name], parts[name]) for name in style if parts.get(name))


def _bar(bar: Bar, x: float, width: float, ceiling: float) -> str:
    inner = max(0.6, width * 0.86 if width > 3 else width)
    y, drawn = HEIGHT - BOTTOM, ""
    for style, value in bar.parts:
        height = (HEIGHT - TOP - BOTTOM) * value / ceiling
        y -= height
        drawn += f'<rect class="{escaped(style)}" x="{x:.2f}" y="{y:.2f}" width="{inner:.2f}" height="{height:.2f}"/>'
    hit = (f'<rect class="hit" x="{x:.2f}" y="{TOP:.1f}" width="{width:.2f}" height="{HEIGHT - TOP - BOTTOM:.1f}"/>'
           if bar.title else "")
    return f"<g>{drawn}{hit}<title>{escaped(bar.title)}</title></g>"


def _labels(data: Sequence[Bar], width: float) -> list[str]:
    """As many labels as there is room for."""
    named = [(number, bar.label) for number, bar in enumerate(data) if bar.label]
    every = max(1, -(-len(named) // 6))
    return [
        f'<text class="tick" x="{LEFT + (number + 0.5) * width:.1f}" y="{HEIGHT - 8:.1f}" text-anchor="middle">'
        f"{escaped(text)}</text>"
        for number, text in named[::every]
    ]


def _axis(ceiling: float) -> str:
    drawn = ""
    for share in (0.0, 0.5, 1.0):
        y = _y(ceiling * share, ceiling)
        drawn += (f'<line class="grid" x1="{LEFT:.1f}" x2="{WIDTH - RIGHT:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                  f'<text class="tick" x="{LEFT - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">'
                  f"{escaped(number(ceiling * share))}</text>")
    return drawn


def _y(value: float, ceiling: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value, ceiling) / ceiling


def _ceiling(highest: float) -> float:
    """The next round number: 1, 2, 2.5, 4, 5, 6 or 8 times a power of ten."""
    power = 1e-9
    while power * 10 <= highest:
        power *= 10
    return next(power * factor for factor in (1, 2, 2.5, 4, 5, 6, 8, 10) if power * factor >= highest * 0.999999)


def number(value: float) -> str:
    """A figure on an axis."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _right(column: int, right: set[int]) -> str:
    return ' class="n"' if column in right else ""
