"""Curves of growth as one SVG: small panels, both axes logarithmic, each line with its name at its end."""

import math
from html import escape

WIDE, HIGH, GAP = 300, 190, 70
LEFT, TOP = 50, 44
COLOURS = ("#1b6ca8", "#c1440e", "#2e7d32", "#7b1fa2", "#8d6e00", "#455a64")
STYLE = "text{font:11px sans-serif;fill:#333}.t{font-weight:bold;font-size:12px}.g{stroke:#ddd}.e{text-anchor:end}"
LABEL_APART = 12

Curve = tuple[list[int], list[float]]


def svg(panels: dict[str, dict[str, Curve]], note: str) -> str:
    """A drawing of `panels`: by title, the curves by name, as sizes and seconds. Same figures, same text."""
    curves = [curve for panel in panels.values() for curve in panel.values()]
    x = _decades([size for sizes, _ in curves for size in sizes])
    y = _decades([second for _, seconds in curves for second in seconds])
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names)}
    cells = []
    for n, (title, panel) in enumerate(panels.items()):
        at = LEFT + n % 2 * (WIDE + GAP + 60), TOP + n // 2 * (HIGH + GAP)
        cells.append(f'<g transform="translate({at[0]},{at[1]})">{_panel(title, panel, colours, x, y)}</g>')
    width, height = LEFT + 2 * (WIDE + GAP + 60), TOP + -(-len(panels) // 2) * (HIGH + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    ground = f'<style>{STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([head, ground, f'<text x="12" y="18">{escape(note)}</text>', *cells, "</svg>"]) + "\n"


def _panel(title: str, panel: dict[str, Curve], colours: dict[str, str], x: range, y: range) -> str:
    def right(value: float) -> float:
        return (math.log10(value) - x[0]) / (x[-1] - x[0]) * WIDE

    def down(value: float) -> float:
        return HIGH - (math.log10(value) - y[0]) / (y[-1] - y[0]) * HIGH

    parts = [f'<text class="t" y="-8">{escape(title)}</text>']
    for power in x:
        parts.append(f'<path class="g" d="M{right(10.0**power):.1f} 0V{HIGH}"/>')
        parts.append(f'<text x="{right(10.0**power) - 8:.1f}" y="{HIGH + 15}">{10**power:,}</text>')
    for power in y:
        parts.append(f'<path class="g" d="M0 {down(10.0**power):.1f}H{WIDE}"/>')
        parts.append(f'<text class="e" x="-5" y="{down(10.0**power) + 4:.1f}">{_time(power)}</text>')
    labels, free = list[str](), dict[int, float]()
    for name, (sizes, seconds) in sorted(panel.items(), key=lambda item: item[1][1][-1]):
        points = " ".join(f"{right(size):.1f},{down(second):.1f}" for size, second in zip(sizes, seconds, strict=True))
        parts.append(f'<polyline fill="none" stroke="{colours[name]}" stroke-width="2" points="{points}"/>')
        ends = down(seconds[-1]) + (4 if sizes[-1] == 10 ** x[-1] else -4)  # above a longer line, not across it
        free[sizes[-1]] = min(ends, free.get(sizes[-1], math.inf) - LABEL_APART)
        colour = f'style="fill:{colours[name]}"'
        labels.append(f'<text x="{right(sizes[-1]) + 5:.1f}" y="{free[sizes[-1]]:.1f}" {colour}>{escape(name)}</text>')
    return "\n".join(parts + labels)


def _decades(values: list[float] | list[int]) -> range:
    """The powers of ten that hold all values."""
    return range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)


def _time(power: int) -> str:
    seconds = 10.0**power
    return f"{seconds:g} s" if power >= 0 else f"{seconds * 1e3:g} ms" if power >= -3 else f"{seconds * 1e6:g} µs"
