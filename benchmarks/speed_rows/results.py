"""What came of the rows: measured one after the other, told as JSON."""

__all__ = ["Result", "answer", "details", "measure"]

import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import torch

from rwsstore.errors import RwsError
from rwsstore.progress import Reporter
from rwsstore.speed import Ratio
from rwsstore.speed.benching import this_machine
from speed_rows.row import Finding, Row, RowSettings, reached


@dataclass(frozen=True)
class Result:
    """One row, measured or not.

    Attributes:
        row: the row.
        finding: what it found; None where it failed.
        failure: why.
        seconds: that it took.
    """

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
            results.append(_one(row, settings))
            task.advance()
    return results


def _one(row: Row, settings: RowSettings) -> Result:
    start = time.perf_counter()
    try:
        finding, failure = row.measure(settings), ""
    except RwsError as error:
        finding, failure = None, str(error)
    except Exception as error:  # whatever is wrong with one row, the others are still worth having
        finding, failure = None, f"{type(error).__name__}: {error}"
        traceback.print_exc()
    return Result(row, finding, failure, time.perf_counter() - start)


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
    return {
        "machine": asdict(this_machine()),
        "settings": {name: _plain(value) for name, value in asdict(settings).items()},
        "rows": {
            result.row.name: {
                "what": result.row.what,
                "against": result.row.against,
                "required": result.row.required,
                "seconds": round(result.seconds, 1),
                **_found(result),
            }
            for result in results
        },
    }


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int | float) else str(value)


def _found(result: Result) -> dict[str, object]:
    if result.finding is None:
        return {"failure": result.failure}
    return {**_figures(result.finding), "details": dict(result.finding.details)}
