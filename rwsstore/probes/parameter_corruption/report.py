"""What a probe found, as data, as tables and as a picture."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any, Literal

import torch

from rwsstore.drawing import draw_heat_map, frame, new_figure, panels, png_bytes
from rwsstore.models import short_names
from rwsstore.probes.parameter_corruption.indicator import LossAndAccuracy
from rwsstore.probes.report import Report
from rwsstore.tables import Column, Table, csv_text

By = Literal["table", "type", "layer", "module"]
"""How parameters are grouped: all of them as one group, or by what they belong to."""


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
class CorruptionRow:
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
class CorruptionReport(Report):
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
    clean: LossAndAccuracy
    rows: tuple[CorruptionRow, ...]

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

    def of(self, group: str, n: int | None) -> tuple[CorruptionRow, ...]:
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
            "p": "inf" if self.p == math.inf else self.p,
            "dataset": self.dataset,
            "images": self.images,
            "gradient_images": self.gradient_images,
            "seed": self.seed,
            "clean": asdict(self.clean),
            "groups": [
                {
                    "group": name,
                    "parameters": size,
                    "mean_drop": [{"n": n, "drop": self.mean_drop(name, n)} for n in self.ns],
                }
                for name, size in self.groups.items()
            ],
            "rows": [self._row(row) for row in self.rows],
        }

    def to_csv(self) -> str:
        """A row for each group, n and ε; empty where there is no number."""
        columns = (
            "group parameters n epsilon first_order loss_change accuracy drop random_accuracy "
            "random_accuracy_sd random_loss_change draws"
        )
        values = (
            {
                **self._row(row),
                **asdict(row.gradient),
                "n": number_word(row.n),
                "draws": len(row.random),
            }
            for row in self.rows
        )
        return csv_text(columns, ([found[name] for name in columns.split()] for found in values))

    def _row(self, row: CorruptionRow) -> dict[str, Any]:
        return {
            **asdict(row),
            "drop": self.drop(row.gradient.accuracy),
            "random_accuracy": row.random_accuracy,
            "random_accuracy_sd": row.random_spread,
            "random_loss_change": row.random_loss_change,
        }

    def parts(self) -> Iterator[Table | str]:
        """Random against gradient-based, or groups × ε, a table for each n."""
        yield (
            f"Accuracy in % under parameter corruption, {self._norm}, "
            f"{self.images:,} images of {self.dataset}; {self.clean.accuracy:.1f} without"
        )
        draws = max(len(row.random) for row in self.rows)
        if self.by == "table":
            yield Table(_COMPARED, [row for n in self.ns for row in self.rows if row.n == n])
            if draws > 1:
                yield f"random: mean of {draws} draws ± their standard deviation"
            yield f"loss changes in nats, on {self.gradient_images:,} images"
            return
        yield from self._by_group()
        if draws:
            yield f"gradient-based; after the slash random, the mean of {draws} draws"
        yield "mean drop: share of the accuracy above chance that is lost, mean over ε"

    def _by_group(self) -> Iterator[Table]:
        columns = (
            Column(self.by, left=True),
            Column("parameters", form=",", spare=1),
            *(Column(f"ε = {epsilon:g}") for epsilon in self.epsilons),
            Column("mean drop"),
        )
        names = dict(zip(self.groups, short_names(list(self.groups)), strict=True))
        for n in self.ns:
            rows = []
            for group, size in self.groups.items():
                cells = []
                for row in self.of(group, n):
                    drawn = "" if row.random_accuracy is None else f" / {row.random_accuracy:.1f}"
                    cells.append(f"{row.gradient.accuracy:.1f}{drawn}")
                drop = self.mean_drop(group, n)
                mean = None if drop is None else f"{100 * drop:.0f} %"
                rows.append((names[group], size, *cells, mean))
            yield Table(columns, rows, f"n = {number_word(n)}")

    def pictures(self) -> Mapping[str, bytes]:
        """By "table" accuracy against ε, a colour for each n, random draws dashed with their range.

        Else a heat map for each n, groups downwards, ε to the right, warm where accuracy is lost.
        """
        if self.by == "table":
            figure = new_figure(6.4, 4.0)
            axes = figure.add_subplot()
            draw_curves(axes, self)
            axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
            axes.set_title(f"corruption of parameters, {self._norm}", fontsize=10, loc="left")
            return {"": png_bytes(figure)}
        width, height = _CELL
        count, rows = len(self.ns), len(self.groups)
        size = max(1.6, width * len(self.epsilons))
        figure = new_figure(2.8 + count * size, 1.5 + max(1.0, height * rows))
        grid = panels(figure, count, count)
        for place, (axes, n) in enumerate(zip(grid, self.ns, strict=True)):
            drawn = draw_losses(axes, self, n, named=not place)
            axes.set_title(f"{self._norm}, n = {number_word(n)}", fontsize=9)
        figure.colorbar(drawn, ax=grid, shrink=0.8, label="points of accuracy lost")
        return {"": png_bytes(figure)}

    @property
    def _norm(self) -> str:
        return "L∞" if self.p == math.inf else f"L{self.p:g}"


def number_word(n: int | None) -> str:
    """Write n: all, or the number."""
    return "all" if n is None else str(n)


def _random(row: CorruptionRow) -> str | None:
    if row.random_accuracy is None:
        return None
    spread = "" if row.random_spread is None else f" ± {row.random_spread:.1f}"
    return f"{row.random_accuracy:.1f}{spread}"


def _loss_change(row: CorruptionRow) -> float | str:
    change = row.gradient.loss_change
    return "not finite" if change is None else change


_COMPARED = (
    Column("n", lambda row: number_word(row.n), once=True),
    Column("ε", "epsilon", "g"),
    Column("random", _random),
    Column("gradient-\nbased", lambda row: row.gradient.accuracy, ".1f"),
    Column("its loss\nchange", _loss_change, "+.3g"),
    Column("to first\norder", lambda row: row.gradient.first_order, "+.3g"),
)
_COLOURS = ("#1f6fb2", "#d1762b", "#3f8f5b", "#8c5fa8", "#b8414b", "#7a6a53", "#2f9aa0")
_GREY = "#888888"
_WARM = "YlOrRd"
"""Warm where accuracy is lost, as in the paper."""
_CELL = 0.5, 0.26
"""Of a heat map, in inches."""


def draw_losses(
    axes: Any,
    report: CorruptionReport,
    n: int | None,
    *,
    named: bool = True,
    top: float | None = None,
) -> Any:
    """Draw the accuracy lost by gradient-based corruption, groups × ε, into matplotlib axes.

    The groups are named at the left; the scale ends at `top` points, or at those that lead to
    chance. Returns what matplotlib makes a colour bar of.
    """
    clean = report.clean.accuracy
    lost = torch.tensor(
        [
            [clean - row.gradient.accuracy for row in report.of(group, n)]
            for group in report.groups
        ]
    )  # fmt: skip
    top = max(1.0, clean - 100.0 / report.classes) if top is None else top
    names = short_names(list(report.groups)) if named else [""] * len(lost)
    epsilons = [f"{epsilon:g}" for epsilon in report.epsilons]
    drawn = draw_heat_map(axes, lost, names, epsilons, _WARM, (0.0, top), form="z.0f", digits=7)
    axes.set_xlabel("ε", fontsize=9)
    return drawn


def draw_curves(axes: Any, report: CorruptionReport) -> None:
    """Draw accuracy against ε into matplotlib axes: gradient-based, and random with its range."""
    for number, n in enumerate(report.ns):
        colour, label = _COLOURS[number % len(_COLOURS)], f"n = {number_word(n)}"
        rows = [row for row in report.rows if row.n == n]
        places = [row.epsilon for row in rows]
        found = [row.gradient.accuracy for row in rows]
        axes.plot(places, found, "o-", ms=4, color=colour, label=f"gradient-based, {label}")
        if all(row.random for row in rows):
            every = [[one.accuracy for one in row.random] for row in rows]
            means = [row.random_accuracy for row in rows]
            axes.plot(places, means, "s--", ms=3, color=colour, label=f"random, {label}")
            axes.fill_between(
                places, [*map(min, every)], [*map(max, every)], color=colour, alpha=0.15, lw=0
            )
    axes.axhline(report.clean.accuracy, color=_GREY, lw=0.8, ls=":")
    axes.axhline(100.0 / report.classes, color=_GREY, lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.set_ylim(0, 100)
    frame(axes, x="ε", y="accuracy in %", size=10)
