"""Grids of groups, n and ε against corruptions made one by one."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch

from rwsstore.files import Results
from rwsstore.models import ordered_layers
from rwsstore.probes.parameter_corruption import (
    Constraint,
    CorruptionRow,
    ProbeOptions,
    Sample,
    by_type,
    corrupted_copy,
    gradient_corruption,
    loss_gradient,
    measure,
    probe_corruption,
)
from rwsstore.probes.parameter_corruption.corruption import (
    Group,
    all_parameters,
    by_layer,
    by_module,
    corrupting,
    first_order_change,
    random_corruption,
)
from rwsstore.probes.parameter_corruption.indicator import LossAndAccuracy
from rwsstore.probes.parameter_corruption.report import CorruptionReport, Outcome
from rwsstore.progress import ConsoleReporter
from tests.probes.parameter_corruption.making import IMAGES, Tiny, sample, tiny, witness

GRID: dict[str, Any] = {"epsilons": (0.1, 2.0), "ns": (5, None), "draws": 2, "seed": 3}


def probe(model: Tiny, **fields: Any) -> CorruptionReport:
    names = ("gradient_of", "layers", "results")
    given = {name: fields.pop(name) for name in names if name in fields}
    options = ProbeOptions(**{**GRID, **fields})
    return probe_corruption(model, IMAGES.images, IMAGES.labels, options, name="tiny", **given)


def by_hand(model: Tiny, group: Group, constraint: Constraint, seed: int | None) -> Outcome:
    images = sample(model)
    gradient = loss_gradient(model, images, group.parameters).tensors
    if seed is None:
        corruption = gradient_corruption(gradient, constraint)
    else:
        corruption = random_corruption(gradient, constraint, seed=seed)
    before, after = measure(model, images), measure(corrupted_copy(model, corruption), images)
    assert before.loss is not None
    assert after.loss is not None
    change = after.loss - before.loss
    return Outcome(first_order_change(corruption, gradient), change, after.accuracy)


def test_all_parameters_random_against_gradient_based() -> None:
    model = tiny()
    report = probe(model)
    assert (report.by, report.p, report.images, report.gradient_images) == ("table", 2, 45, 45)
    assert report.clean == measure(model, sample(model))
    assert [(row.n, row.epsilon) for row in report.rows] == [
        (5, 0.1), (5, 2.0), (None, 0.1), (None, 2.0)
    ]  # fmt: skip
    group = all_parameters(model)
    for row in report.rows:
        constraint = Constraint(row.epsilon, 2, row.n)
        assert (row.group, row.parameters) == ("all", group.size)
        assert row.gradient == by_hand(model, group, constraint, None)
        assert row.random == tuple(by_hand(model, group, constraint, seed) for seed in (3, 4))
    strongest = report.rows[-1]
    assert strongest.random_accuracy is not None
    assert strongest.gradient.accuracy < strongest.random_accuracy


@pytest.mark.parametrize(
    ("by", "grouping"), [("type", by_type), ("layer", by_layer), ("module", by_module)]
)
def test_group_by_group(by: Any, grouping: Callable[[Tiny], tuple[Group, ...]]) -> None:
    model = tiny()
    report = probe(model, by=by, p=math.inf, ns=(3, 50), draws=1)
    groups = grouping(model)
    assert report.groups == {group.name: group.size for group in groups}
    assert report.ns == (3, 50)
    assert report.epsilons == (0.1, 2.0)
    for group in groups:
        for n in report.ns:
            for row in report.of(group.name, n):
                # A group of fewer than n parameters is corrupted whole.
                most = None if n >= group.size else n
                constraint = Constraint(row.epsilon, math.inf, most)
                assert row.gradient == by_hand(model, group, constraint, None)


def test_layers_alone() -> None:
    model = tiny()
    first, second, _ = (layer.name for layer in ordered_layers(model))
    report = probe(model, by="layer", layers=[second, first])
    assert list(report.groups) == [first, second]
    whole = probe(model, by="layer")
    assert [row for row in whole.rows if row.group in report.groups] == list(report.rows)
    table = probe(model, layers=[first, second])
    sizes = {group.name: group.size for group in by_layer(model)}
    assert table.groups == {"2 layers": sizes[first] + sizes[second]}


def test_gradients_and_loss_changes_of_other_images() -> None:
    model = tiny()
    images, labels = IMAGES.images[:12].float() / 255, IMAGES.labels[:12]
    report = probe(model, gradient_of=(images, labels), ns=(None,), draws=0)
    few = probe_corruption(model, images, labels, ProbeOptions((0.1, 2.0), draws=0))
    assert (report.images, report.gradient_images) == (45, 12)
    assert report.clean == LossAndAccuracy(few.clean.loss, measure(model, sample(model)).accuracy)
    for row, other in zip(report.rows, few.rows, strict=True):
        assert row.gradient.first_order == other.gradient.first_order
        assert row.gradient.loss_change == pytest.approx(other.gradient.loss_change)
    wanted = by_hand_accuracy(model, images, labels, 2.0)
    assert report.rows[1].gradient.accuracy == wanted


def by_hand_accuracy(
    model: Tiny, images: torch.Tensor, labels: torch.Tensor, epsilon: float
) -> float:
    gradient = loss_gradient(model, Sample.of(model, images, labels)).tensors
    corruption = gradient_corruption(gradient, Constraint(epsilon))
    return measure(corrupted_copy(model, corruption), sample(model)).accuracy


def test_the_batch_size_changes_nothing() -> None:
    one, other = (probe(tiny(), batch_size=size) for size in (7, 250))
    for row, same in zip(one.rows, other.rows, strict=True):
        assert row.gradient.accuracy == same.gradient.accuracy
        assert row.gradient.first_order == pytest.approx(same.gradient.first_order, rel=1e-4)


def test_the_model_stays_as_it_was() -> None:
    model = tiny()
    model.gn.requires_grad_(False)
    model.conv1.weight.grad = torch.ones_like(model.conv1.weight)
    before = witness(model)
    probe(model)
    probe(model, by="layer", draws=0)
    assert witness(model) == before


class Interrupted(Exception):  # noqa: N818  (no error: somebody stopped the program)
    """Stopped from outside."""


class Stopping(Results):
    """Stops after so many numbers."""

    def value(self, key: str, measure: Callable[[], Any]) -> Any:
        if len(self) == 7 and key not in self:
            raise Interrupted
        return super().value(key, measure)


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = tiny(), tmp_path / "results.json"
    with pytest.raises(Interrupted):
        probe(model, results=Stopping(path, {}))
    kept = Results(path, {})
    assert len(kept) == 7
    tried = []

    def counting(*arguments: Any) -> Any:
        tried.append(1)
        return corrupting(*arguments)

    monkeypatch.setattr("rwsstore.probes.parameter_corruption.corruption.corrupting", counting)
    report = probe(model, results=kept)
    assert len(tried) == 12 - 6  # the seventh of the numbers is the clean model's
    assert report == probe(tiny())
    tried.clear()
    assert probe(model, results=Results(path, {})) == report
    assert not tried
    probe(model, results=Results(path, {}), p=math.inf)  # other numbers have other keys
    assert len(tried) == 12


def test_progress_counts_every_corruption(capsys: pytest.CaptureFixture[str]) -> None:
    options = ProbeOptions(**GRID)
    probe_corruption(
        tiny(), IMAGES.images, IMAGES.labels, options, progress=ConsoleReporter()
    )  # fmt: skip
    assert "corruptions 12/12" in capsys.readouterr().err


def made_up(accuracies: list[float], *, clean: float = 90.0, classes: int = 10) -> CorruptionReport:
    rows = tuple(
        CorruptionRow("fc", 20, None, 10.0**place, Outcome(1.0, None, accuracy), ())
        for place, accuracy in enumerate(accuracies)
    )
    return CorruptionReport("layer", 2, "tiny", 9, 9, classes, 0, LossAndAccuracy(0.1, clean), rows)


def test_drops_above_chance() -> None:
    report = made_up([90.0, 50.0, 10.0, 5.0])
    drops = [report.drop(row.gradient.accuracy) for row in report.rows]
    assert drops == [0.0, 0.5, 1.0, 1.0]
    assert report.mean_drop("fc", None) == pytest.approx(0.625)
    assert made_up([91.0]).mean_drop("fc", None) == pytest.approx(-1 / 80)
    assert made_up([5.0], clean=10.0).mean_drop("fc", None) is None


def test_means_and_spread_of_the_draws() -> None:
    row = probe(tiny()).rows[-1]
    accuracies = [one.accuracy for one in row.random]
    assert row.random_accuracy == pytest.approx(fmean(accuracies))
    assert row.random_spread == pytest.approx(stdev(accuracies))
    assert row.random_loss_change == pytest.approx(
        fmean(one.loss_change for one in row.random if one.loss_change is not None)
    )
    single = probe(tiny(), draws=1).rows[-1]
    assert (single.random_accuracy, single.random_spread) == (single.random[0].accuracy, None)
    none = probe(tiny(), draws=0).rows[-1]
    assert (none.random_accuracy, none.random_spread, none.random_loss_change) == (None,) * 3


def test_json_and_csv_hold_every_number() -> None:
    report = probe(tiny(), by="type", p=math.inf)
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (document["p"], document["by"], document["dataset"]) == ("inf", "type", "tiny")
    lines = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(lines) == len(document["rows"]) == len(report.rows) == 12
    for line, written, row in zip(lines, document["rows"], report.rows, strict=True):
        assert line["n"] == ("all" if row.n is None else str(row.n))
        assert written["n"] == row.n
        assert float(line["accuracy"]) == written["gradient"]["accuracy"] == row.gradient.accuracy
        assert float(line["random_accuracy"]) == written["random_accuracy"] == row.random_accuracy
        assert float(line["drop"]) == written["drop"]
    assert [group["group"] for group in document["groups"]] == ["conv", "norm", "linear"]
    assert document["groups"][0]["mean_drop"][0]["drop"] == report.mean_drop("conv", 5)
