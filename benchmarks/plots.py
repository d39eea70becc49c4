"""Charts, as small SVG files that come out alike for like figures."""

from pathlib import Path
from typing import Any

from .sections import Chart

_BARS = 0.8  # of the distance between two labels
_LONG = 12  # letters; labels from here on stand aslant


def draw(chart: Chart, folder: Path) -> None:
    """Write a chart as `name`.svg."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # Text stays text, and the ids in the file are no random ones.
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "session3", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(8, 5 if _is_long(chart) else 4), layout="constrained")
        (_draw_lines if chart.labels is None else _draw_bars)(chart, axes)
        axes.set(title=chart.title, xlabel=chart.x, ylabel=chart.y)
        if chart.is_log_x:
            _make_logarithmic(axes.set_xscale, axes.xaxis)
        if chart.is_log_y:
            _make_logarithmic(axes.set_yscale, axes.yaxis)
        axes.grid(axis="y", alpha=0.3)
        figure.legend(loc="outside lower center", ncols=4)
        figure.savefig(folder / f"{chart.name}.svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _draw_lines(chart: Chart, axes: Any) -> None:
    for name, points in chart.series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)


def _draw_bars(chart: Chart, axes: Any) -> None:
    assert chart.labels is not None
    width = _BARS / len(chart.series)
    for number, (name, points) in enumerate(chart.series.items()):
        shift = (number + 0.5) * width - _BARS / 2
        axes.bar([x + shift for x, _ in points], [y for _, y in points], width, label=name)
    slant = {"rotation": 50, "ha": "right", "rotation_mode": "anchor"} if _is_long(chart) else {}
    axes.set_xticks(range(len(chart.labels)), chart.labels, **slant)


def _is_long(chart: Chart) -> bool:
    return max(map(len, chart.labels or [""])) >= _LONG


def _make_logarithmic(set_scale: Any, axis: Any) -> None:
    """Scale an axis; its numbers are written out, not as powers of ten."""
    set_scale("log")
    axis.set_major_formatter("{x:,.10g}")
    low, high = axis.get_view_interval()
    axis.set_minor_formatter("{x:,.10g}" if high < 10 * low else "")
