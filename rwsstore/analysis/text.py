"""A comparison as tables for people."""

__all__ = ["comparison_text"]

from collections.abc import Iterator

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rwsstore.analysis.comparison import Comparison
from rwsstore.analysis.gains import Gains
from rwsstore.analysis.groups import GroupContrast
from rwsstore.analysis.matrix import matrix_lines
from rwsstore.analysis.names import short_names
from rwsstore.corruptions import GROUPS, frost_source

_WIDEST = 20
_NO_GROUPS = "needs two corruptions of one group and one of another"


def comparison_text(comparison: Comparison) -> RenderableType:
    """Lay a comparison out as tables of at most 80 characters, up to 20 patches.

    More patches than that are listed each with its nearest one, without matrices.
    """
    parts: list[RenderableType] = [_patches(comparison), _layers(comparison)]
    parts += map(_plain, _cosines(comparison))
    if comparison.gains is not None:
        parts += map(_plain, _gains(comparison.gains, comparison))
    return Group(*parts)


def _plain(line: str) -> Text:
    return Text(line, no_wrap=line.startswith(" "))


def _patches(comparison: Comparison) -> Table:
    found = comparison.similarity
    table = _table("Patches, and the most alike of the others", "", "patch", "group")
    for name in ("‖Δ‖", "‖Δ‖/‖θ‖", "nearest", "cosine"):
        table.add_column(name, justify="left" if name == "nearest" else "right")
    others = found.cosine.clone().fill_diagonal_(-torch.inf).nan_to_num(-torch.inf)
    best, places = others.max(1)
    for number, one in enumerate(found.signatures):
        nearest = found.signatures[int(places[number])].name, f"{float(best[number]):z.2f}"
        table.add_row(
            str(number + 1),
            one.name,
            one.group,
            f"{float(found.total_norms[number]):.3g}",
            f"{float(found.total_relative_norms[number]):.3f}",
            *(nearest if bool(best[number].isfinite()) else ("-", "-")),
        )
    return table


def _layers(comparison: Comparison) -> Table:
    table = _table("Layers, means over the patches and their pairs", "layer")
    for name in (
        "‖Δ‖", "‖Δ‖/‖θ‖", "share of\n‖Δ‖²", "cosine", "within\ngroups", "between\ngroups", "p",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for layer, name in zip(
        comparison.layers, short_names(comparison.similarity.layers), strict=True
    ):
        groups = layer.groups
        contrast = (
            ("-", "-", "-")
            if groups is None
            else (f"{groups.within:z.2f}", f"{groups.between:z.2f}", f"{groups.p_value:.2g}")
        )
        table.add_row(
            name,
            f"{layer.norm:.3g}",
            "-" if layer.relative_norm is None else f"{layer.relative_norm:.3f}",
            f"{layer.energy:.0%}",
            "-" if layer.cosine is None else f"{layer.cosine:z.2f}",
            *contrast,
        )
    return table


def _cosines(comparison: Comparison) -> Iterator[str]:
    found = comparison.similarity
    names = [one.name for one in found.signatures]
    if len(names) <= _WIDEST:
        yield "Cosine similarity in hundredths"
        heads = [str(number) for number in range(1, len(names) + 1)]
        yield from matrix_lines(100 * found.cosine, names, heads, blank_diagonal=True)
        yield ""
    yield from _verdict("cosine", comparison.groups, "z.2f")


def _gains(gains: Gains, comparison: Comparison) -> Iterator[str]:
    options = gains.options
    yield ""
    yield (
        f"Accuracy gained in points, severity {options.severity:g}, {gains.images:,} images of "
        f"{gains.dataset}"
    )
    if len(options.corruptions) < _WIDEST:
        names = [one.name for one in gains.signatures]
        heads = [str(number) for number in range(1, len(options.corruptions) + 1)]
        table = torch.cat([gains.gains, gains.costs[:, None]], dim=1)
        yield from matrix_lines(table, names, [*heads, "TA"])
        if tuple(one.corruption for one in gains.signatures) != options.corruptions:
            columns = zip(heads, options.corruptions, strict=True)
            yield "Columns: " + ", ".join(f"{number} {name}" for number, name in columns)
        yield "TA: what the patch costs on clean images"
    yield f"Clean model: {gains.clean_ta:.1f} % on clean images, {_mean_ra(gains):.1f} % corrupted"
    if "frost" in options.corruptions:
        yield f"Frost: {frost_source(options.frost_overlays)}"
    yield ""
    yield from _verdict("gain", comparison.gain_groups, "z.1f")
    if comparison.gain_correlation is not None:
        yield (
            "Correlation of the cosine of two patches with what one gains on the other's "
            f"corruption: {comparison.gain_correlation:z.2f}"
        )


def _mean_ra(gains: Gains) -> float:
    return float(gains.clean_ra.mean())


def _verdict(what: str, found: GroupContrast | None, form: str) -> Iterator[str]:
    """Do the groups appear? In words, and group by group."""
    if found is None:
        yield f"Do the groups appear in the {what}s? It {_NO_GROUPS}."
        return
    answer = "Yes" if found.appear else "Not shown"
    own = "" if found.own is None else f", on its own corruption {found.own:{form}}"
    yield f"Do the groups appear in the {what}s? {answer}: p = {found.p_value:.2g}."
    yield (
        f"Mean {what} within groups {found.within:{form}} ({found.within_pairs} pairs), between "
        f"them {found.between:{form}} ({found.between_pairs}){own}."
    )
    names = [name for name in GROUPS if name in found.by_group]
    yield " " * 10 + "".join(f"{name:>9}" for name in names)
    for name in names:
        row = [found.by_group[name][other] for other in names]
        cells = "".join(f"{'-' if value is None else format(value, form):>9}" for value in row)
        yield f"  {name:<8}{cells}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
