"""What an evaluation found, and how every report writes its figures."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rwsstore.config import Frozen
from rwsstore.evaluation.bootstrap import Interval


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


class Pair(Frozen):
    """Accuracies in percent, of the clean model and of the clean model with its patch.

    Attributes:
        clean_model: without the patch.
        patched: with it.
        clean_model_interval: of `clean_model`; None, as every interval, without resamples.
        patched_interval: of `patched`.
        gain_interval: of `patched` − `clean_model`, on the same draws of the images.
    """

    clean_model: float
    patched: float
    clean_model_interval: Interval | None = None
    patched_interval: Interval | None = None
    gain_interval: Interval | None = None


class CorruptionResult(Pair):
    """One corruption, the mean over the severities.

    Attributes:
        patch: name of its patch; None where the store has none and `patched` is the clean model's.
        digest: of that patch as stored.
        patched_clean_accuracy: TA with the patch on, in percent: what it costs while it is on.
        patched_clean_accuracy_interval: of that.
        by_severity: RA for each severity.
    """

    patch: str | None
    digest: str | None
    patched_clean_accuracy: float
    patched_clean_accuracy_interval: Interval | None = None
    by_severity: dict[int, Pair]


class StoredResult(Frozen):
    """All patches at one bit width.

    Attributes:
        patch_payload_bytes: codes, scales and float32 deltas of all patches together.
        patch_file_bytes: of their whole files.
        corruptions: by name.
        mean: RA over the corruptions.
        gap_recovered: (mean patched − mean clean model) / (TA − mean clean model), a fraction;
            None where the clean model loses nothing.
        gap_recovered_interval: of that; None too where the clean model loses nothing in some draw
            of the images, because the ratio then has no bounds.
    """

    patch_payload_bytes: int
    patch_file_bytes: int
    corruptions: dict[str, CorruptionResult]
    mean: Pair
    gap_recovered: float | None
    gap_recovered_interval: Interval | None = None


class RivalResult(Frozen):
    """BatchNorm re-estimated on the test stream, one batch size.

    Attributes:
        clean_accuracy: on clean images, in percent.
        corruptions: accuracy in percent by corruption, the mean over the severities.
        mean: over the corruptions.
        clean_accuracy_interval: of `clean_accuracy`, for the batches as they were composed.
        corruption_intervals: of `corruptions`.
        mean_interval: of `mean`.
    """

    clean_accuracy: float
    corruptions: dict[str, float]
    mean: float
    clean_accuracy_interval: Interval | None = None
    corruption_intervals: dict[str, Interval] | None = None
    mean_interval: Interval | None = None


class EvaluationReport(Frozen):
    """TA and RA with and without patches.

    The fields of the first bit width stand at the top as well, for scripts that ask for one.

    Attributes:
        dataset: name of the images.
        images: how many.
        severities: of the corruptions.
        clean_accuracy: TA of the clean model, in percent.
        clean_accuracy_interval: of that.
        resamples: draws of the images behind the intervals; 0: there are none.
        confidence: of the intervals.
        model_bytes: of its tensors.
        bits: asked for; None: as stored.
        by_bits: results by bit width ("stored", or the number).
        rival: BatchNorm re-estimated on the test stream, by batch size.
        frost_source: "synthetic", or what overlays were used.
    """

    dataset: str
    images: int
    severities: tuple[int, ...]
    clean_accuracy: float
    clean_accuracy_interval: Interval | None = None
    resamples: int = 0
    confidence: float = 0.95
    model_bytes: int
    bits: int | None
    patch_payload_bytes: int
    patch_file_bytes: int
    corruptions: dict[str, CorruptionResult]
    mean: Pair
    gap_recovered: float | None
    gap_recovered_interval: Interval | None = None
    by_bits: dict[str, StoredResult]
    rival: dict[int, RivalResult]
    frost_source: str

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return self.model_dump(mode="json")

    def to_csv(self) -> str:
        """One row for each corruption, severity and bit width; no intervals: empty cells."""
        return csv_text(_COLUMNS, self._rows())

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for bits, stored in self.by_bits.items():
            for name, result in stored.corruptions.items():
                for severity, pair in result.by_severity.items():
                    yield bits, name, severity, result.patch or "", *_numbers(pair)


_COLUMNS = (
    "bits", "corruption", "severity", "patch", "clean_model", "patched", "clean_model_low",
    "clean_model_high", "patched_low", "patched_high", "gain_low", "gain_high",
)  # fmt: skip


def _numbers(pair: Pair) -> list[str]:
    cells = [f"{pair.clean_model:.3f}", f"{pair.patched:.3f}"]
    for interval in (pair.clean_model_interval, pair.patched_interval, pair.gain_interval):
        cells.extend(ends(interval))
    return cells
