"""One grid for all that is measured: model × condition × image, right or not.

A study fills a grid row by row; accuracies, means over conditions or models, gains and recovered
gaps are then figures with the same draws of the images, because the same images are behind all of
its rows.
"""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Generic, TypeVar

import torch
from torch import Tensor

from rwsstore.measure.accuracy import Predict, correctness, percent
from rwsstore.measure.bootstrap import Figure, Resampling, bootstrap, mean_of
from rwsstore.progress import Task

_Model = TypeVar("_Model")
_Condition = TypeVar("_Condition")


class Grid(Generic[_Model, _Condition]):
    """Which images each model gets right under each condition.

    Models and conditions are whatever names them: anything hashable.

    Args:
        resampling: how the images are drawn again; 1,000 draws and 95 % by default.
    """

    def __init__(self, resampling: Resampling | None = None) -> None:
        self._resampling = resampling
        self._rows: dict[tuple[_Model, _Condition], Tensor] = {}
        self._figures: dict[tuple[_Model, _Condition], Figure] = {}

    def __contains__(self, cell: tuple[_Model, _Condition]) -> bool:
        return cell in self._rows

    def put(self, model: _Model, condition: _Condition, right: Tensor) -> float:
        """Keep a row, bool [N]; returns its share of right answers in percent."""
        self._rows[model, condition] = right
        self._figures = {}
        return percent(right)

    def fill(
        self,
        models: Mapping[_Model, Predict],
        condition: _Condition,
        images: Tensor,
        labels: Tensor,
        *,
        task: Task,
        note: str,
    ) -> None:
        """Measure models on the images of one condition, and report each of them.

        Args:
            models: images to logits, in evaluation mode.
            condition: that the images are under.
            images: [N, 3, H, W].
            labels: int64 [N].
            task: goes on by one a model.
            note: what it says before the share of right answers.
        """
        for name, predict in models.items():
            share = self.put(name, condition, correctness(predict, images, labels))
            task.advance(note=f"{note}: {share:.1f} %")

    def right(self, model: _Model, conditions: Iterable[_Condition]) -> Tensor:
        """Which images are right under every one of some conditions, bool [N]."""
        return torch.stack([self._rows[model, condition] for condition in conditions]).all(0)

    def accuracy(self, model: _Model, condition: _Condition) -> Figure:
        """The share of right answers in percent, with its draws.

        Raises:
            TensorError: the rows of the grid do not fit together.
        """
        if not self._figures:
            self._figures = bootstrap(self._rows, self._resampling)
        return self._figures[model, condition]

    def mean(self, models: Iterable[_Model], conditions: Iterable[_Condition]) -> Figure:
        """The mean over models and conditions, each cell weighing the same."""
        cells = product(models, conditions)
        return mean_of([self.accuracy(model, condition) for model, condition in cells])


def gap_recovered(base: Figure, better: Figure, whole: Figure) -> Figure | None:
    """The part of a loss that is made good: (better − base) / (whole − base), a fraction.

    Returns:
        None where nothing is lost.
    """
    lost = whole - base
    return (better - base) / lost if lost.value > 0 else None
