"""What a probe found."""

__all__ = ["CorruptionReport", "Outcome", "Row"]

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any, Literal

from rwsstore.analysis.parameter_corruption.indicator import Measured

By = Literal["table", "type", "layer", "module"]
"""How parameters are grouped: all of them as one group, or by what they belong to."""

_COLUMNS = (
    "group", "parameters", "n", "epsilon", "first_order", "loss_change", "accuracy", "drop",
    "random_accuracy", "random_accuracy_sd", "random_loss_change", "draws",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One corruption, put on and measured.

    Attributes:
        first_order: aᵀg, in nats.
        loss_change: L(w + a) − L(w) on the images that the gradient is of, in nats; None where
            the loss is not finite.
        accuracy: of w + a on the test images, in percent.
    """

    first_order: float
    loss_change: float | None
    accuracy: float


@dataclass(frozen=True)
class Row:
    """One group of parameters at one n and one ε.

    Attributes:
        group: its name.
        parameters: k.
        n: as asked for; None: all. In a group with fewer parameters than n all are corrupted.
        epsilon: ε.
        gradient: the gradient-based corruption; its `first_order` and `loss_change` are the
            indicator's two values.
        random: random corruptions, one a draw.
    """

    group: str
    parameters: int
    n: int | None
    epsilon: float
    gradient: Outcome
    random: tuple[Outcome, ...]

    @property
    def random_accuracy(self) -> float | None:
        """Mean accuracy over the draws, in percent; None without draws."""
        return fmean(one.accuracy for one in self.random) if self.random else None

    @property
    def random_spread(self) -> float | None:
        """Their sample standard deviation; None with fewer than two draws."""
        accuracies = [one.accuracy for one in self.random]
        return stdev(accuracies) if len(accuracies) > 1 else None

    @property
    def random_loss_change(self) -> float | None:
        """Mean loss change over the draws, in nats; None without draws or where not finite."""
        changes = [one.loss_change for one in self.random]
        finite = [change for change in changes if change is not None]
        return fmean(finite) if changes and len(finite) == len(changes) else None


@dataclass(frozen=True)
class CorruptionReport:
    """Accuracy and loss under corruption, over grids of groups, n and ε.

    Attributes:
        by: how the parameters were grouped.
        p: of the norm.
        dataset: name of the test images.
        images: how many test images.
        gradient_images: how many images the gradient and the loss changes are of.
        classes: C.
        seed: of the first random draw.
        clean: w itself: loss on the gradient's images, accuracy on the test images.
        rows: group by group, n by n, ε by ε.
    """

    by: By
    p: float
    dataset: str
    images: int
    gradient_images: int
    classes: int
    seed: int
    clean: Measured
    rows: tuple[Row, ...]

    @property
    def groups(self) -> dict[str, int]:
        """Parameters by group, in order."""
        return {row.group: row.parameters for row in self.rows}

    @property
    def ns(self) -> tuple[int | None, ...]:
        """The numbers of parameters that were asked for."""
        return tuple(dict.fromkeys(row.n for row in self.rows))

    @property
    def epsilons(self) -> tuple[float, ...]:
        """All ε."""
        return tuple(dict.fromkeys(row.epsilon for row in self.rows))

    def drop(self, accuracy: float) -> float | None:
        """Share of the accuracy above chance that is lost, at most 1.

        min(1, (A_clean − A) / (A_clean − 100 / C)); below 0 where accuracy rose. None where the
        clean model itself is no better than chance.
        """
        above = self.clean.accuracy - 100.0 / self.classes
        if above <= 0:
            return None
        return min(1.0, (self.clean.accuracy - accuracy) / above)

    def of(self, group: str, n: int | None) -> tuple[Row, ...]:
        """The rows of one group and n, over ε."""
        return tuple(row for row in self.rows if (row.group, row.n) == (group, n))

    def mean_drop(self, group: str, n: int | None) -> float | None:
        """How sensitive a group is: the mean of `drop` over all ε, gradient-based.

        A summary of our own; it orders groups that were probed over the same ε.
        """
        drops = [self.drop(row.gradient.accuracy) for row in self.of(group, n)]
        known = [drop for drop in drops if drop is not None]
        return fmean(known) if known else None

    def to_dict(self) -> dict[str, Any]:
        """JSON values; p is "inf" where it is infinite, n is null where all may be corrupted."""
        return {
            "by": self.by,
            "p": _finite(self.p),
            "dataset": self.dataset,
            "images": self.images,
            "gradient_images": self.gradient_images,
            "seed": self.seed,
            "clean": asdict(self.clean),
            "groups": [
                {"group": name, "parameters": size, "mean_drop": self._mean_drops(name)}
                for name, size in self.groups.items()
            ],
            "rows": [self._row(row) for row in self.rows],
        }

    def to_csv(self) -> str:
        """A row for each group, n and ε; empty where there is no number."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            writer.writerow(self._cells(row))
        return text.getvalue()

    def _mean_drops(self, group: str) -> list[dict[str, Any]]:
        return [{"n": n, "drop": self.mean_drop(group, n)} for n in self.ns]

    def _row(self, row: Row) -> dict[str, Any]:
        return {
            **asdict(row),
            "drop": self.drop(row.gradient.accuracy),
            "random_accuracy": row.random_accuracy,
            "random_accuracy_sd": row.random_spread,
            "random_loss_change": row.random_loss_change,
        }

    def _cells(self, row: Row) -> Iterable[Any]:
        values: Mapping[str, Any] = {
            **self._row(row),
            **asdict(row.gradient),
            "n": "all" if row.n is None else row.n,
            "draws": len(row.random),
        }
        return [values[column] for column in _COLUMNS]


def _finite(p: float) -> float | str:
    return "inf" if p == math.inf else p
