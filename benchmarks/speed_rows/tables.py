"""Results as tables: for a terminal, and as Markdown for the documentation."""

__all__ = ["curves_of", "growth_table", "markdown", "ratio_table"]

from collections.abc import Iterable, Sequence

from rich.table import Table

from rwsstore.speed.benching import Machine
from speed_rows.results import Result
from speed_rows.row import Curve

_HEADINGS = ("row", "what", "against", "median", "spread", "required", "reached")

_AXES = {
    "patch_sets": "patch sets, in as many images",
    "one_patch_set": "images, one patch set",
    "batch": "batch, one patch set",
    "clients": "clients, each its own patch set",
}


def ratio_table(results: Iterable[Result]) -> Table:
    """Every row but those of curves."""
    table = Table(title="Ratios within one run: median, and quartiles of the repetitions")
    for heading in _HEADINGS[:3]:
        table.add_column(heading, overflow="fold")
    for heading in _HEADINGS[3:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for result in _with_ratio(results):
        colour = {"NO": "red", "not measured": "red", "yes": "green"}.get(result.verdict)
        cells = _cells(result)
        table.add_row(*cells[:-1], f"[{colour}]{cells[-1]}[/]" if colour else cells[-1])
    return table


def growth_table(name: str, curve: Curve, knee: int) -> Table:
    """One curve, its knee marked."""
    figures = list(next(iter(curve.values())))
    table = Table(title=f"Growth: {_AXES[name]}")
    for heading in (name.replace("_", " "), *(figure.replace("_", " ") for figure in figures)):
        table.add_column(heading, justify="right")
    table.add_column("")
    for place, point in curve.items():
        mark = "knee" if int(place) == knee else ""
        table.add_row(place, *(_short(point[figure]) for figure in figures), mark)
    return table


def markdown(results: Sequence[Result], machine: Machine) -> str:
    """The same for documentation."""
    lines = [_where(machine), ""]
    lines += _rows(_HEADINGS, [_cells(result) for result in _with_ratio(results)], left=3)
    for name, curve, knee in curves_of(results):
        figures = list(next(iter(curve.values())))
        rows = [
            [f"**{place}**" if int(place) == knee else place]
            + [_short(point[figure]) for figure in figures]
            for place, point in curve.items()
        ]
        headings = [_AXES[name], *(figure.replace("_", " ") for figure in figures)]
        lines += ["", *_rows(headings, rows, left=0)]
    return "\n".join(lines) + "\n"


def _where(machine: Machine) -> str:
    return (
        f"Measured on {machine.processor}, {machine.threads} of {machine.cores} cores, "
        f"{machine.instructions}{', bf16' if machine.bf16 else ''}, torch {machine.torch}. Ratios "
        "within one run: the median, and the quartiles of the repetitions."
    )


def curves_of(results: Iterable[Result]) -> list[tuple[str, Curve, int]]:
    """Each curve with its name and its knee."""
    found = []
    for result in results:
        if result.finding is not None and result.finding.points:
            knees = result.finding.details["knees"]
            assert isinstance(knees, dict)
            found += [(name, curve, knees[name]) for name, curve in result.finding.points.items()]
    return found


def _with_ratio(results: Iterable[Result]) -> list[Result]:
    return [one for one in results if one.finding is None or one.ratio is not None]


def _cells(result: Result) -> list[str]:
    row, ratio = result.row, result.ratio
    figures = ["", ""]
    if ratio is not None:
        figures = [_short(ratio.median), f"{_short(ratio.low)} … {_short(ratio.high)}"]
    return [row.name, row.what, row.against, *figures, row.required, result.verdict]


def _short(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.1 else f"{value:.4f}"


def _rows(headings: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> list[str]:
    marks = ["---" if place < left else "---:" for place in range(len(headings))]
    return ["| " + " | ".join(cells) + " |" for cells in (headings, marks, *rows)]
