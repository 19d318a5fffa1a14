"""What a row is: one claim, what it is held against, what is required of it, how it is measured.

And what came of rows: measured one after the other, told as JSON.
"""

import operator
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import torch

from rwsstore.errors import ConfigError, RwsError
from rwsstore.progress import Reporter
from rwsstore.speed import Pairs, Ratio, time_pairs
from rwsstore.speed.benching import this_machine
from rwsstore.speed.measuring import Action

Curve = Mapping[str, Mapping[str, float]]
"""Figures by the place on an axis."""

Points = Mapping[str, Curve]
"""Curves by name."""

_RELATIONS = {"≤": operator.le, "≥": operator.ge, ">": operator.gt}


@dataclass(frozen=True)
class RowSettings:
    """How much is measured, and on what; over HTTP in seconds of load."""

    threads: int = 1
    repeats: int = 21
    warm_up: int = 3
    width: float = 1.0
    quarter: float = 0.25
    smoke: bool = False  # only shows that the rows run: few patches, short curves
    rest_repeats: int = 5
    rest_warm_up: float = 3.0  # seconds of load before the first of these
    seconds: float = 6.0  # of load in each half of a repetition
    clients: int = 16
    rivals_python: Path | None = None  # the interpreter that rivals are installed for; None: this

    def __post_init__(self) -> None:
        for name in ("threads", "repeats", "rest_repeats", "clients"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("seconds", "width", "quarter"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected more than 0")
        for name in ("warm_up", "rest_warm_up"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more")

    @classmethod
    def for_smoke(cls, *, rivals_python: Path | None = None) -> "RowSettings":
        """A tiny model and fractions of a second: that the rows run, not how fast."""
        return cls(
            repeats=2,
            warm_up=1,
            width=0.125,
            quarter=0.0625,
            rest_repeats=1,
            rest_warm_up=0.1,
            seconds=0.3,
            clients=4,
            smoke=True,
            rivals_python=rivals_python,
        )


@dataclass(frozen=True)
class Finding:
    """What a row found: a ratio or curves, and absolute figures of this machine behind it."""

    ratio: Ratio | None
    points: Points = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Pairs, names: Iterable[str], **details: object) -> "Finding":
        """A ratio of two times, which are told as milliseconds under these names."""
        times = {
            f"{name}_ms": round(value, 5)
            for name, value in zip(names, pairs.milliseconds, strict=True)
        }
        return cls(pairs.ratio, details={**times, **details})

    @classmethod
    def timed(
        cls,
        settings: RowSettings,
        sides: Mapping[str, Action],
        details: Mapping[str, object] = MappingProxyType({}),
        *,
        inner: int = 1,
        turns: int = 1,
    ) -> "Finding":
        """Time the first side over the second, in turns.

        Args:
            settings: say how many turns.
            sides: two, by the names under which their milliseconds are told.
            details: besides.
            inner: how often each is repeated within a turn.
            turns: how many times as many turns are taken as the settings say.
        """
        measured, against = sides.values()
        pairs = time_pairs(
            measured,
            against,
            repeats=turns * settings.repeats,
            warm_up=settings.warm_up,
            inner=inner,
        )
        return cls.of(pairs, sides, **details)


@dataclass(frozen=True)
class Row:
    """One claim: what is measured, and against what."""

    name: str
    what: str
    against: str
    required: str  # of the ratio, as in "≥ 0.87"; "" where it is only reported
    measure: Callable[[RowSettings], Finding]


def reached(required: str, ratio: Ratio | None) -> bool | None:
    """Whether the median is what is required; None where nothing is, or there is no ratio."""
    if not required or ratio is None:
        return None
    relation, _, limit = required.partition(" ")
    return bool(_RELATIONS[relation](ratio.median, float(limit)))


@dataclass(frozen=True)
class Result:
    """One row, measured or not; without a finding there is a failure."""

    row: Row
    finding: Finding | None
    failure: str
    seconds: float

    @property
    def ratio(self) -> Ratio | None:
        """Its figure, if it has one."""
        return None if self.finding is None else self.finding.ratio

    @property
    def verdict(self) -> str:
        """What a reader of the table looks for."""
        if self.finding is None:
            return "not measured"
        return {True: "yes", False: "NO", None: ""}[reached(self.row.required, self.ratio)]


def measure(rows: Sequence[Row], settings: RowSettings, progress: Reporter) -> list[Result]:
    """Measure rows one after the other; what fails is told, and the others go on.

    An hour of figures is not thrown away because a rival is not installed; whoever runs this
    sees by the exit code that something is missing. A smoke run is held against nothing.
    """
    torch.set_num_threads(settings.threads)
    if settings.smoke:
        rows = [replace(row, required="") for row in rows]
    results = []
    with progress.task("measuring", total=len(rows)) as task:
        for row in rows:
            task.advance(0, note=row.name)
            start = time.perf_counter()
            try:
                finding, failure = row.measure(settings), ""
            except RwsError as error:
                finding, failure = None, str(error)
            except Exception as error:  # whatever is wrong with one row, the others are worth it
                finding, failure = None, f"{type(error).__name__}: {error}"
                traceback.print_exc()
            results.append(Result(row, finding, failure, time.perf_counter() - start))
            task.advance()
    return results


def answer(results: Iterable[Result]) -> dict[str, dict[str, object]]:
    """The object that scripts read, by the rows' names; what failed is not in it."""
    return {
        result.row.name: _figures(result.finding)
        for result in results
        if result.finding is not None
    }


def _figures(finding: Finding) -> dict[str, object]:
    ratio = finding.ratio
    if ratio is None:
        return {"points": finding.points}
    return {"ratio": ratio.median, "spread": [ratio.low, ratio.high]}


def details(results: Sequence[Result], settings: RowSettings) -> dict[str, object]:
    """All that is known, for the file beside the table."""
    rows = {}
    for result in results:
        found: dict[str, object] = {"failure": result.failure}
        if result.finding is not None:
            found = {**_figures(result.finding), "details": dict(result.finding.details)}
        rows[result.row.name] = {
            "what": result.row.what,
            "against": result.row.against,
            "required": result.row.required,
            "seconds": round(result.seconds, 1),
            **found,
        }
    python = settings.rivals_python
    return {
        "machine": asdict(this_machine()),
        "settings": {**asdict(settings), "rivals_python": None if python is None else str(python)},
        "rows": rows,
    }
