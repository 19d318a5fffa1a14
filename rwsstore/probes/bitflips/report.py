"""What a survey found: counts by decile, by bit, by layer; as data, as tables, as a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from rwsstore.drawing import frame, new_figure, png_bytes
from rwsstore.measure import Figure, Resampling, bootstrap
from rwsstore.models import short_names
from rwsstore.probes.bitflips.surveying import Survey
from rwsstore.probes.report import Report
from rwsstore.tables import Column, Table, csv_text, json_values, with_ends

DECILES = tuple(f"{10 * tenth}-{10 * tenth + 10} %" for tenth in range(10))
"""Each holds the drops from its first number on and below its second; the last one 100 % too."""


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


class _Sorted:
    """The flips of a survey by their drops, in whole numbers, so that no border is rounded.

    Attributes:
        rad: the decile of RAD of each flip, int64 [S] in 0 … 9; flips that help are in the first.
        adjusted: that of its drop above chance, likewise.
        erratic: which have a RAD above 10 %, bool [S].
    """

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        lost = 10 * (survey.clean_right - survey.right)
        above = survey.classes * survey.clean_right - survey.images
        self.rad = lost.div(survey.clean_right, rounding_mode="floor").clamp(0, 9)
        self.adjusted = (survey.classes * lost).div(above, rounding_mode="floor").clamp(0, 9)
        self.erratic = lost > survey.clean_right

    def tally(self, name: str, chosen: Tensor) -> Tally:
        """Count some flips, bool [S]."""
        rad, adjusted = (
            tuple(torch.bincount(deciles[chosen], minlength=10).tolist())
            for deciles in (self.rad, self.adjusted)
        )
        broken = int((self._survey.broken[chosen] > 0).sum())
        return Tally(name, rad, adjusted, int(self.erratic[chosen].sum()), broken)

    def by_bit(self) -> Iterator[Tally]:
        """Flips of each position of each format, highest first."""
        arrays, sites = self._survey.arrays, self._survey.sites
        formats = {row.form.name: row.form for row in arrays}
        for form in sorted(formats.values(), key=lambda form: (-form.bits, form.name)):
            stored = torch.tensor([row.form == form for row in arrays])[sites.array]
            for bit in reversed(range(form.bits)):
                chosen = stored & (sites.bit == bit)
                if bool(chosen.any()):
                    name = f"bit {bit}" if len(formats) == 1 else f"{form.name} bit {bit}"
                    yield self.tally(name, chosen)

    def by_layer(self) -> Iterator[Tally]:
        """Flips in each layer, as the memory has them."""
        arrays = self._survey.arrays
        for layer in dict.fromkeys(row.layer for row in arrays):
            chosen = torch.tensor([row.layer == layer for row in arrays])[self._survey.sites.array]
            if bool(chosen.any()):
                yield self.tally(layer, chosen)


@dataclass(frozen=True, eq=False)
class BitflipReport(Report):
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
        flips, sites = _Sorted(survey), survey.sites
        shares = bootstrap({"rad": flips.rad == 9, "adjusted": flips.adjusted == 9}, resampling)
        numbers = list(zip(sites.array.tolist(), sites.index.tolist(), strict=True))
        return cls(
            survey=survey,
            dataset=dataset,
            total=flips.tally("all", torch.ones(len(sites), dtype=torch.bool)),
            by_bit=tuple(flips.by_bit()),
            by_layer=tuple(flips.by_layer()),
            severe=shares["adjusted"],
            severe_rad=shares["rad"],
            parameters=len(set(numbers)),
            erratic_parameters=len(set(compress(numbers, flips.erratic.tolist()))),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without the single flips."""
        survey = self.survey
        document: dict[str, Any] = {
            "format": survey.format,
            "dataset": self.dataset,
            "images": survey.images,
            "classes": survey.classes,
            "clean_accuracy": survey.clean_accuracy,
            "deciles": DECILES,
            "severe": _share(self.severe),
            "severe_rad": _share(self.severe_rad),
            "parameters": self.parameters,
            "erratic_parameters": self.erratic_parameters,
            "total": _counted(self.total),
            "by_bit": [_counted(tally) for tally in self.by_bit],
            "by_layer": [_counted(tally) for tally in self.by_layer],
        }
        return {name: json_values(value) for name, value in document.items()}

    def to_csv(self) -> str:
        """A row for each flip."""
        survey, sites = self.survey, self.survey.sites
        names = [survey.arrays[number].name for number in sites.array.tolist()]
        columns = (sites.index, sites.bit, survey.right, survey.broken, survey.rad, survey.adjusted)
        rows = zip(names, *(one.tolist() for one in columns), strict=True)
        return csv_text("array index bit right broken rad:.6f adjusted:.6f", rows)

    def parts(self) -> Iterator[Table | str]:
        """Bits by decile, by position and by layer."""
        survey, total = self.survey, self.total
        yield (
            f"{total.flips:,} flips in {survey.format}, {survey.images:,} images of "
            f"{self.dataset}: accuracy {survey.clean_accuracy:.1f} %"
        )
        columns = (
            Column("drop"),
            Column("bits by RAD", form=","),
            Column("", lambda row: f"{100 * row[1] / total.flips:.2f} %"),
            Column("bits by drop above chance", lambda row: row[2], ","),
            Column("", lambda row: f"{100 * row[2] / total.flips:.2f} %"),
        )
        yield Table(columns, [*zip(DECILES, total.rad, total.adjusted, strict=True)])
        yield _table("bit", [tally.name for tally in self.by_bit], self.by_bit)
        yield _table("layer", self._layers(), self.by_layer)
        severe, rad = (
            with_ends(figure.value, figure.interval, ".2f")
            for figure in (self.severe, self.severe_rad)
        )
        yield f"bits that cost 90-100 % of the accuracy above chance: {severe}"
        yield f"bits with a RAD of 90-100 %: {rad}"
        share = self.erratic_parameters / self.parameters
        yield (
            f"parameters with a flip of more than 10 % RAD: {self.erratic_parameters:,} "
            f"({100 * share:.1f} %) of {self.parameters:,} tried"
        )
        if self.severe.interval is not None:
            confidence = 100 * self.severe.resampling.confidence
            yield f"in brackets: the {confidence:g} % bootstrap interval over the sampled bits"

    def pictures(self) -> Mapping[str, bytes]:
        """Bits by drop decile, then drops by bit position and by layer."""
        rows = max(len(self.by_bit), len(self.by_layer))
        figure = new_figure(13.0, max(3.6, 1.6 + 0.16 * rows))
        first, second, third = figure.subplots(1, 3)
        _draw_deciles(first, self.total)
        _draw_bands(second, [tally.name for tally in self.by_bit], self.by_bit, "by bit position")
        _draw_bands(third, self._layers(), self.by_layer, "by layer")
        second.legend(title="drop above chance", fontsize=7, title_fontsize=7)
        survey = self.survey
        figure.suptitle(
            f"{self.total.flips:,} bit flips in {survey.format}, {survey.images:,} images, "
            f"accuracy {survey.clean_accuracy:.1f} %",
            fontsize=10,
        )
        return {"": png_bytes(figure)}

    def _layers(self) -> list[str]:
        return short_names([tally.name for tally in self.by_layer])


def draw_bitflips(report: BitflipReport) -> bytes:
    """Draw a report as PNG, as `BitflipReport.pictures`."""
    return report.pictures()[""]


def _share(figure: Figure) -> dict[str, Any]:
    interval = figure.interval
    return {"value": figure.value, "interval": interval and (interval.low, interval.high)}


def _counted(tally: Tally) -> dict[str, Any]:
    return {"name": tally.name, "flips": tally.flips, **vars(tally)}


def _table(what: str, names: Sequence[str], tallies: Sequence[Tally]) -> Table:
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


_BANDS = (
    ("10-50 %", slice(1, 5), "#f2c879"),
    ("50-90 %", slice(5, 9), "#e07b39"),
    ("90-100 %", slice(9, 10), "#9e2a2b"),
)
_RAD, _ADJUSTED = "#8ea9c1", "#1f6fb2"


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


def _draw_bands(axes: Any, names: Sequence[str], tallies: Sequence[Tally], title: str) -> None:
    places = range(len(tallies))
    left = [0.0] * len(tallies)
    for label, deciles, colour in _BANDS:
        shares = [100 * sum(tally.adjusted[deciles]) / tally.flips for tally in tallies]
        axes.barh(places, shares, 0.8, left=left, color=colour, label=label)
        left = [before + share for before, share in zip(left, shares, strict=True)]
    frame(axes, x="share of flips, %", title=title)
    axes.set_yticks(places, names, fontsize=6)
    axes.invert_yaxis()
