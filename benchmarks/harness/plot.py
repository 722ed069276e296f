"""The figures as a picture: a bar for each ratio, beside its target."""

from __future__ import annotations

from pathlib import Path

import pygal
from figure import Figure
from pygal.style import Style

BAR = 34
"""Height of a bar and its label, in pixels."""


def write_plot(figures: list[Figure], path: Path) -> Path:
    """Draw the ratios of the commands, each with the range of its rounds in its label, as SVG at this path."""
    most = max(max(item.command.median, item.target or 0) for item in figures)
    chart = pygal.HorizontalBar(
        title="Time of the whole command, as a multiple",
        style=Style(font_family="sans-serif", colors=("#2f6f9f", "#c0c0c0"), label_font_size=12, background="white"),
        height=180 + BAR * 2 * len(figures),
        width=1000,
        # A peer's loop takes some ten times as long: beside it, all else would be of one length.
        logarithmic=most > 8,
        range=(0.5, most),
        zero=0.5,
        y_labels=[mark for mark in (0.5, 1, 2, 5, 10, 20, 50, 100) if mark <= most] if most > 8 else None,
        print_values=True,
        value_formatter=lambda value: "" if value is None else f"{value:.2f}",
        legend_at_bottom=True,
        truncate_label=-1,
        js=(),
    )
    # The first row is drawn at the bottom.
    rows = figures[::-1]
    chart.x_labels = [f"{item.what} / {item.against}" for item in rows]
    chart.add("median of the rounds", [item.command.median for item in rows])
    chart.add("target", [item.target for item in rows])
    chart.render_to_file(str(path))
    return path
