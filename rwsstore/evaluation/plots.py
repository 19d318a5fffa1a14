"""The report as a picture."""

__all__ = ["plot_report"]

import io
from pathlib import Path

from rwsstore.errors import MissingExtraError
from rwsstore.evaluation.report import EvaluationReport
from rwsstore.files import write_atomic

_CLEAN, _PATCHED, _LINE = "#b7bdc6", "#1f6fb2", "#444444"


def plot_report(report: EvaluationReport, path: Path) -> None:
    """Draw accuracy with and without its patch for each corruption, as PNG.

    Args:
        report: to draw.
        path: of the picture; replaced in one step if it exists.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RwsError: as `write_atomic` does.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("drawing a picture", "plots") from None
    names = list(report.corruptions)
    figure = Figure(figsize=(2.2 + 0.75 * len(names), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = range(len(names))
    results = report.corruptions.values()
    bars = (
        ("clean model", _CLEAN, "black", -0.2, [result.clean_model for result in results]),
        ("with its patch", _PATCHED, "white", 0.2, [result.patched for result in results]),
    )
    for label, colour, ink, shift, heights in bars:
        drawn = axes.bar([x + shift for x in places], heights, 0.38, label=label, color=colour)
        # Inside the bars, where no line crosses them.
        axes.bar_label(drawn, fmt="%.0f", fontsize=8, padding=-12, color=ink)
    axes.axhline(report.clean_accuracy, color=_LINE, linestyle="--", linewidth=1)
    axes.text(
        len(names) - 0.45, report.clean_accuracy + 1, "clean images", ha="right", color=_LINE,
        fontsize=8,
    )  # fmt: skip
    axes.set_xticks(list(places), [name.replace("_", "\n") for name in names], fontsize=9)
    axes.set_ylim(0, 100)
    axes.set_ylabel("accuracy in %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    write_atomic(path, picture.getvalue())
