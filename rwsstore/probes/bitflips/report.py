"""What a survey found: counts by decile, by bit, by layer; as data, as tables, as a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.text import Text
from torch import Tensor

from rwsstore.drawing import frame, new_figure, png_bytes
from rwsstore.measure import Figure, Resampling, bootstrap
from rwsstore.models import short_names
from rwsstore.probes.bitflips.surveying import Survey
from rwsstore.tables import Column, Table, csv_text, with_ends

DECILES = tuple(f"{10 * tenth}-{10 * tenth + 10} %" for tenth in range(10))
"""Each holds the drops from its first number on and below its second; the last one 100 % too."""


def rad_decile(survey: Survey) -> Tensor:
    """The decile of RAD of each flip, int64 [S] in 0 … 9; flips that help are in the first."""
    lost = 10 * (survey.clean_right - survey.right)
    return lost.div(survey.clean_right, rounding_mode="floor").clamp(0, 9)


def adjusted_decile(survey: Survey) -> Tensor:
    """The decile of the drop above chance of each flip, int64 [S] in 0 … 9, likewise."""
    above = survey.classes * survey.clean_right - survey.images
    lost = 10 * survey.classes * (survey.clean_right - survey.right)
    return lost.div(above, rounding_mode="floor").clamp(0, 9)


def erratic(survey: Survey) -> Tensor:
    """Which flips have a RAD above 10 %, bool [S]."""
    return 10 * (survey.clean_right - survey.right) > survey.clean_right


_COLUMNS = "array index bit right broken rad:.6f adjusted:.6f"


@dataclass(frozen=True)
class Tally:
    """Some of a survey's flips.

    Attributes:
        name: what they have in common.
        rad: how many there are in each decile of RAD.
        adjusted: in each decile of the drop above chance.
        erratic: how many have a RAD above 10 %.
        broken: how many make the logits of some image infinite or NaN.
    """

    name: str
    rad: tuple[int, ...]
    adjusted: tuple[int, ...]
    erratic: int
    broken: int

    @property
    def flips(self) -> int:
        """How many there are."""
        return sum(self.rad)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "flips": self.flips,
            "rad": list(self.rad),
            "adjusted": list(self.adjusted),
            "erratic": self.erratic,
            "broken": self.broken,
        }


@dataclass(frozen=True, eq=False)
class BitflipReport:
    """A survey, summed up.

    Attributes:
        survey: every flip.
        dataset: name of the images.
        total: all flips.
        by_bit: flips of each position of each format, highest first.
        by_layer: flips in each layer, as the memory has them.
        severe: share of bits that cost 90 to 100 % of the accuracy above chance, in percent.
        severe_rad: share of bits with a RAD of 90 to 100 %, in percent.
        parameters: numbers in memory of which a bit was flipped.
        erratic_parameters: those of which some flip has a RAD above 10 %.
    """

    survey: Survey
    dataset: str
    total: Tally
    by_bit: tuple[Tally, ...]
    by_layer: tuple[Tally, ...]
    severe: Figure
    severe_rad: Figure
    parameters: int
    erratic_parameters: int

    @classmethod
    def of(
        cls, survey: Survey, *, dataset: str = "", resampling: Resampling | None = None
    ) -> "BitflipReport":
        """Sum a survey up.

        Args:
            survey: to be summed up.
            dataset: name of its images.
            resampling: of the sites, for the two intervals: they say how far a share depends on
                which bits were drawn, not on which images. A survey of all bits needs none.
        """
        rad, adjusted = rad_decile(survey), adjusted_decile(survey)
        shares = bootstrap({"rad": rad == 9, "adjusted": adjusted == 9}, resampling)
        sites = survey.sites
        numbers = list(zip(sites.array.tolist(), sites.index.tolist(), strict=True))
        bad = erratic(survey).tolist()
        return cls(
            survey=survey,
            dataset=dataset,
            total=_tally(survey, "all", torch.ones(len(sites), dtype=torch.bool)),
            by_bit=tuple(_by_bit(survey)),
            by_layer=tuple(_by_layer(survey)),
            severe=shares["adjusted"],
            severe_rad=shares["rad"],
            parameters=len(set(numbers)),
            erratic_parameters=len(set(compress(numbers, bad))),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without the single flips."""
        survey = self.survey
        return {
            "format": survey.format,
            "dataset": self.dataset,
            "images": survey.images,
            "classes": survey.classes,
            "clean_accuracy": survey.clean_accuracy,
            "deciles": list(DECILES),
            "severe": _figure(self.severe),
            "severe_rad": _figure(self.severe_rad),
            "parameters": self.parameters,
            "erratic_parameters": self.erratic_parameters,
            "total": self.total.to_dict(),
            "by_bit": [tally.to_dict() for tally in self.by_bit],
            "by_layer": [tally.to_dict() for tally in self.by_layer],
        }

    def to_csv(self) -> str:
        """A row for each flip."""
        survey, sites = self.survey, self.survey.sites
        columns = (sites.index, sites.bit, survey.right, survey.broken, survey.rad, survey.adjusted)
        names = [survey.arrays[number].name for number in sites.array.tolist()]
        return csv_text(_COLUMNS, zip(names, *(one.tolist() for one in columns), strict=True))


def _by_bit(survey: Survey) -> Iterator[Tally]:
    formats = {row.form.name: row.form for row in survey.arrays}
    for form in sorted(formats.values(), key=lambda form: (-form.bits, form.name)):
        stored = _of(survey, [row.form == form for row in survey.arrays])
        for bit in reversed(range(form.bits)):
            chosen = stored & (survey.sites.bit == bit)
            if bool(chosen.any()):
                name = f"bit {bit}" if len(formats) == 1 else f"{form.name} bit {bit}"
                yield _tally(survey, name, chosen)


def _by_layer(survey: Survey) -> Iterator[Tally]:
    for layer in dict.fromkeys(row.layer for row in survey.arrays):
        chosen = _of(survey, [row.layer == layer for row in survey.arrays])
        if bool(chosen.any()):
            yield _tally(survey, layer, chosen)


def _of(survey: Survey, arrays: Sequence[bool]) -> Tensor:
    """Which sites lie in some of the arrays, bool [S]."""
    return torch.tensor(arrays)[survey.sites.array]


def _tally(survey: Survey, name: str, chosen: Tensor) -> Tally:
    deciles = (rad_decile(survey)[chosen], adjusted_decile(survey)[chosen])
    rad, adjusted = (tuple(torch.bincount(one, minlength=10).tolist()) for one in deciles)
    return Tally(
        name=name,
        rad=rad,
        adjusted=adjusted,
        erratic=int(erratic(survey)[chosen].sum()),
        broken=int((survey.broken[chosen] > 0).sum()),
    )


def _figure(figure: Figure) -> dict[str, Any]:
    interval = figure.interval
    return {"value": figure.value, "interval": interval and [interval.low, interval.high]}


def bitflip_text(report: BitflipReport) -> RenderableType:
    """Lay a report out: bits by decile, by position and by layer."""
    survey, total = report.survey, report.total
    title = (
        f"{total.flips:,} flips in {survey.format}, {survey.images:,} images of "
        f"{report.dataset}: accuracy {survey.clean_accuracy:.1f} %"
    )
    columns = (
        Column("drop"),
        Column("bits by RAD", form=","),
        Column("", lambda row: f"{100 * row[1] / total.flips:.2f} %"),
        Column("bits by drop above chance", lambda row: row[2], ","),
        Column("", lambda row: f"{100 * row[2] / total.flips:.2f} %"),
    )
    layers = short_names([tally.name for tally in report.by_layer])
    return Group(
        Text(title, style="italic"),
        Table(columns, [*zip(DECILES, total.rad, total.adjusted, strict=True)]),
        _groups("bit", [tally.name for tally in report.by_bit], report.by_bit),
        _groups("layer", layers, report.by_layer),
        *map(Text, _notes(report)),
    )


def _groups(what: str, names: Sequence[str], tallies: Sequence[Tally]) -> Table:
    columns = (
        Column(what, left=True),
        Column("flips", form=","),
        Column("RAD > 10 %"),
        Column("90-100 % above chance"),
        Column("not finite"),
    )
    rows = []
    for name, tally in zip(names, tallies, strict=True):
        counts = (tally.erratic, tally.adjusted[-1], tally.broken)
        shares = (f"{100 * count / tally.flips:.1f} %" for count in counts)
        rows.append((name, tally.flips, *shares))
    return Table(columns, rows)


def _notes(report: BitflipReport) -> list[str]:
    share = 100 * report.erratic_parameters / report.parameters
    erratic = f"{report.erratic_parameters:,} ({share:.1f} %)"
    severe, rad = (
        with_ends(figure.value, figure.interval, ".2f")
        for figure in (report.severe, report.severe_rad)
    )
    notes = [
        f"bits that cost 90-100 % of the accuracy above chance: {severe}",
        f"bits with a RAD of 90-100 %: {rad}",
        f"parameters with a flip of more than 10 % RAD: {erratic} of {report.parameters:,} tried",
    ]
    if report.severe.interval is not None:
        confidence = 100 * report.severe.resampling.confidence
        notes.append(f"in brackets: the {confidence:g} % bootstrap interval over the sampled bits")
    return notes


_BANDS = (
    ("10-50 %", slice(1, 5), "#f2c879"),
    ("50-90 %", slice(5, 9), "#e07b39"),
    ("90-100 %", slice(9, 10), "#9e2a2b"),
)
_RAD, _ADJUSTED = "#8ea9c1", "#1f6fb2"


def draw_bitflips(report: BitflipReport) -> bytes:
    """Draw a report as PNG: bits by drop decile, then drops by bit position and by layer.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    rows = max(len(report.by_bit), len(report.by_layer))
    figure = new_figure(13.0, max(3.6, 1.6 + 0.16 * rows))
    first, second, third = figure.subplots(1, 3)
    _draw_deciles(first, report.total)
    _bands(second, [tally.name for tally in report.by_bit], report.by_bit, "by bit position")
    names = short_names([tally.name for tally in report.by_layer])
    _bands(third, names, report.by_layer, "by layer")
    second.legend(title="drop above chance", fontsize=7, title_fontsize=7)
    survey = report.survey
    figure.suptitle(
        f"{report.total.flips:,} bit flips in {survey.format}, {survey.images:,} images, "
        f"accuracy {survey.clean_accuracy:.1f} %",
        fontsize=10,
    )
    return png_bytes(figure)


def _draw_deciles(axes: Any, total: Tally) -> None:
    """Shares on a logarithmic scale, since nearly all bits do nothing; none leaves no bar."""
    places = range(len(DECILES))
    for counts, side, colour, label in (
        (total.rad, -0.2, _RAD, "RAD"),
        (total.adjusted, 0.2, _ADJUSTED, "drop above chance"),
    ):
        shares = [100 * count / total.flips for count in counts]
        axes.bar([place + side for place in places], shares, 0.4, color=colour, label=label)
    axes.set_yscale("log")
    axes.set_ylim(50 / total.flips, 150)
    axes.set_xticks(places, [name.removesuffix(" %") for name in DECILES], rotation=90, fontsize=7)
    frame(axes, x="drop, %", y="share of bits, %", title="by drop")
    axes.legend(fontsize=7)


def _bands(axes: Any, names: Sequence[str], tallies: Sequence[Tally], title: str) -> None:
    places = range(len(tallies))
    left = [0.0] * len(tallies)
    for label, deciles, colour in _BANDS:
        shares = [100 * sum(tally.adjusted[deciles]) / tally.flips for tally in tallies]
        axes.barh(places, shares, 0.8, left=left, color=colour, label=label)
        left = [before + share for before, share in zip(left, shares, strict=True)]
    frame(axes, x="share of flips, %", title=title)
    axes.set_yticks(places, names, fontsize=6)
    axes.invert_yaxis()
