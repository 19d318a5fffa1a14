"""One grid: its figures are those of its rows, all with the same draws."""

import pytest
import torch
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.measure import Grid, Resampling, accuracy, bootstrap, gap_recovered, mean_of
from rwsstore.progress import SILENT
from tests.measure.making import TEST, clean_model
from tests.training.tiny import two_convs

ROWS = {
    ("a", "clean"): [True, True, True, False],
    ("a", "fog"): [True, False, False, False],
    ("b", "clean"): [True, True, False, False],
    ("b", "fog"): [True, True, False, True],
}
RESAMPLING = Resampling(100, seed=3)


@pytest.fixture
def grid() -> Grid[str, str]:
    made: Grid[str, str] = Grid(RESAMPLING)
    for cell, row in ROWS.items():
        made.put(*cell, torch.tensor(row))
    return made


def test_its_figures_are_the_bootstraps(grid: Grid[str, str]) -> None:
    figures = bootstrap({cell: torch.tensor(row) for cell, row in ROWS.items()}, RESAMPLING)
    for cell, figure in figures.items():
        found = grid.accuracy(*cell)
        assert (found.value, found.interval) == (figure.value, figure.interval)
        assert cell in grid
    mean = mean_of([figures["a", "fog"], figures["b", "fog"]])
    assert grid.mean("ab", ["fog"]).interval == mean.interval
    assert grid.right("a", ["clean", "fog"]).tolist() == ROWS["a", "fog"]


def test_a_row_may_come_after_a_figure(grid: Grid[str, str]) -> None:
    before = grid.accuracy("a", "clean")
    assert grid.put("c", "clean", torch.tensor([True, False, False, False])) == 25.0
    assert grid.accuracy("c", "clean").value == 25.0
    assert grid.accuracy("a", "clean").interval == before.interval
    grid.put("d", "clean", torch.tensor([True]))
    with pytest.raises(TensorError, match="the same for all"):
        grid.accuracy("a", "clean")


def test_it_is_filled_by_running_models() -> None:
    grid: Grid[str, Tensor | None] = Grid()
    models = {"one": clean_model(), "other": two_convs(seed=4).eval()}
    with SILENT.task("measuring", total=2) as task:
        grid.fill(models, None, TEST.images, TEST.labels, task=task, note="clean")
    for name, model in models.items():
        assert grid.accuracy(name, None).value == accuracy(model, TEST.images, TEST.labels)


def test_the_gap_that_is_recovered(grid: Grid[str, str]) -> None:
    base, whole = grid.accuracy("a", "fog"), grid.accuracy("b", "fog")
    gap = gap_recovered(base, grid.accuracy("b", "clean"), whole)
    assert gap is not None
    assert gap.value == pytest.approx(0.5)  # from 25 to 50 of 75
    assert gap_recovered(whole, base, whole) is None
