"""What a row is: one claim, what it is held against, what is required of it, how it is measured."""

__all__ = ["Curve", "Finding", "Points", "Row", "RowSettings", "reached"]

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rwsstore.errors import ConfigError
from rwsstore.speed import Pairs, Ratio

Curve = Mapping[str, Mapping[str, float]]
"""Figures by the place on an axis."""

Points = Mapping[str, Curve]
"""Curves by name."""

_RELATIONS = {"≤": operator.le, "≥": operator.ge, ">": operator.gt}


@dataclass(frozen=True)
class RowSettings:
    """How much is measured, and on what.

    Attributes:
        threads: that torch computes with.
        repeats: timed turns behind a ratio.
        warm_up: turns before that.
        width: of the VGG-16.
        quarter: width of the small one.
        smoke: whether this only shows that the rows run: few patches, short curves.
        rest_repeats: repetitions of a row over HTTP, each of which takes seconds.
        seconds: of load in each half of such a repetition.
        clients: that ask at the same time.
        rivals_python: the interpreter that LitServe and BentoML are installed for; None: this one.
    """

    threads: int = 1
    repeats: int = 21
    warm_up: int = 3
    width: float = 1.0
    quarter: float = 0.25
    smoke: bool = False
    rest_repeats: int = 5
    seconds: float = 6.0
    clients: int = 16
    rivals_python: Path | None = None

    def __post_init__(self) -> None:
        if self.threads < 1 or self.repeats < 1 or self.warm_up < 0:
            raise ConfigError(
                f"threads {self.threads}, repeats {self.repeats}, warm_up {self.warm_up}: "
                "expected at least 1, 1 and 0"
            )

    @classmethod
    def for_smoke(cls, *, rivals_python: Path | None = None) -> "RowSettings":
        """A tiny model, twice: that the rows run, not how fast."""
        return cls(
            repeats=2,
            warm_up=1,
            width=0.125,
            quarter=0.0625,
            smoke=True,
            rivals_python=rivals_python,
        )


@dataclass(frozen=True)
class Finding:
    """What a row found.

    Attributes:
        ratio: its figure; None for curves.
        points: its curves.
        details: what stands behind it, absolute figures of this machine included.
    """

    ratio: Ratio | None
    points: Points = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Pairs, names: tuple[str, str], **details: object) -> "Finding":
        """A ratio of two times, which are told as milliseconds under these names."""
        times = {
            f"{name}_ms": round(value, 5)
            for name, value in zip(names, pairs.milliseconds, strict=True)
        }
        return cls(pairs.ratio, details={**times, **details})


@dataclass(frozen=True)
class Row:
    """One claim.

    Attributes:
        name: under which its figure is found.
        what: is measured.
        against: what it is held.
        required: of the ratio, as in "≥ 0.87"; "" where it is only reported.
        measure: measures it.
    """

    name: str
    what: str
    against: str
    required: str
    measure: Callable[[RowSettings], Finding]


def reached(required: str, ratio: Ratio | None) -> bool | None:
    """Whether the median is what is required; None where nothing is, or there is no ratio."""
    if not required or ratio is None:
        return None
    relation, _, limit = required.partition(" ")
    return bool(_RELATIONS[relation](ratio.median, float(limit)))
