"""How every report writes its figures: in JSON, in CSV, in tables."""

__all__ = ["Frozen", "csv_text", "ends", "interval_note", "with_spread"]

import csv
import io
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from rwsstore.evaluation.bootstrap import Interval


class Frozen(BaseModel):
    """A part of a report: nothing in it changes, and nothing unknown is read into it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write CSV with a heading and Unix line ends."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def ends(interval: Interval | None) -> tuple[str, str]:
    """Both ends for a row of CSV; no interval: empty cells."""
    return ("", "") if interval is None else (f"{interval.low:.3f}", f"{interval.high:.3f}")


def with_spread(value: float, interval: Interval | None, form: str = ".1f") -> str:
    """A figure with half the width of its interval behind it, where it has one."""
    if interval is None:
        return f"{value:{form}}"
    return f"{value:{form}} ± {(interval.high - interval.low) / 2:.1f}"


def interval_note(confidence: float) -> str:
    """What stands under a table with intervals."""
    return f"± and in brackets: the {100 * confidence:g} % bootstrap interval over the images"
