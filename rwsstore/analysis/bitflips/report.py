"""What a survey found: counts by decile, by bit, by layer, and erratic patches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from rwsstore.analysis.bitflips.surveying import Survey
from rwsstore.evaluation import Figure, Interval, Resampling, bootstrap
from rwsstore.evaluation.report import csv_text

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


_COLUMNS = ("array", "index", "bit", "right", "broken", "rad", "adjusted")


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
        rows = zip(names, *(column.tolist() for column in columns), strict=True)
        return csv_text(_COLUMNS, ((*row[:-2], f"{row[-2]:.6f}", f"{row[-1]:.6f}") for row in rows))


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
    return Tally(
        name=name,
        rad=_counts(rad_decile(survey)[chosen]),
        adjusted=_counts(adjusted_decile(survey)[chosen]),
        erratic=int(erratic(survey)[chosen].sum()),
        broken=int((survey.broken[chosen] > 0).sum()),
    )


def _counts(deciles: Tensor) -> tuple[int, ...]:
    return tuple(torch.bincount(deciles, minlength=len(DECILES)).tolist())


def _figure(figure: Figure) -> dict[str, Any]:
    interval: Interval | None = figure.interval
    ends = None if interval is None else [interval.low, interval.high]
    return {"value": figure.value, "interval": ends}
