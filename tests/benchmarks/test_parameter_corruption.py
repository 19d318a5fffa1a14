"""Table 1, Table 4, Figures 4 and 7 of the paper on parameter corruption, small."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks.paper.__main__ as command
from benchmarks.paper import parameter_corruption
from benchmarks.paper.findings import (
    conv_before_linear,
    epsilon_for,
    gradient_beats_random,
    norm_before_neighbour,
    norm_most_sensitive,
    position,
    rank_correlation,
)
from benchmarks.paper.parameter_corruption import gradient_images, networks, normalizations, run
from benchmarks.paper.settings import Settings
from benchmarks.paper.study import Study
from rwsstore.files import Results
from rwsstore.measure import accuracy
from rwsstore.probes.parameter_corruption import (
    Constraint,
    CorruptionReport,
    CorruptionRow,
    corrupted_copy,
    indicator,
)
from rwsstore.probes.parameter_corruption.corruption import all_parameters, random_corruption
from rwsstore.probes.parameter_corruption.indicator import LossAndAccuracy
from rwsstore.probes.parameter_corruption.report import Outcome
from tests.benchmarks.making import Interrupted, a_study, files_of, forbid_work, settings, table

NAME = "parameter_corruption"
_SHORT = {"epochs": 1, "batch_size": 12, "learning_rate": 0.05, "flip": False, "padding": 0}
_SMALL = {
    "width": 0.0625, "training": _SHORT, "gradient_images": 24, "draws": 2, "few": 10,
    "table_epsilons": (0.01, 1.0), "few_epsilons": (1.0, 10.0), "layer_n": 20,
    "layer_epsilons": (1.0, 5.0), "type_ns": (2, 10), "type_epsilons": (0.1, 1.0),
    "component_n": 2, "component_epsilons": (1.0,),
}  # fmt: skip


def small() -> Settings:
    return settings(parameter_corruption=_SMALL)


@contextmanager
def stopped_after(count: int) -> Iterator[None]:
    """Stop where one number more is to be measured."""
    value, left = Results.value, [count]

    def counting(self: Results, key: str, measure: Callable[[], Any]) -> Any:
        if key not in self:
            if not left[0]:
                raise Interrupted
            left[0] -= 1
        return value(self, key, measure)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(Results, "value", counting)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict[str, Any]]:
    """A study that was stopped on the way and taken up again."""
    folder = tmp_path_factory.mktemp("study")
    stopped = a_study(NAME, folder, settings=small())
    with stopped_after(10), pytest.raises(Interrupted):
        run(stopped)
    assert not stopped.docs.exists()
    study = a_study(NAME, folder, settings=small())
    assert len(study.results) == 10
    return study, run(study)


def test_a_third_run_measures_nothing_and_writes_the_same(
    finished: tuple[Study, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, headlines = finished
    before = files_of(study)
    pictures = {f"{NAME}{end}.png" for end in ("", "-layers", "-types", "-components")}
    assert set(before) == {f"{NAME}.md", *pictures}
    forbid_work(monkeypatch)
    monkeypatch.setattr(indicator, "loss_gradient", lambda *_, **__: 1 / 0)
    again = a_study(NAME, study.work.parent, settings=small())
    with stopped_after(0):
        assert run(again) == headlines
    assert files_of(again) == before


def test_the_page_tells_what_was_measured(finished: tuple[Study, dict[str, Any]]) -> None:
    study, headlines = finished
    page = (study.docs / f"{NAME}.md").read_text()
    models = networks(study)
    assert len(headlines["networks"]) == 2
    for name, model in models.items():
        told = headlines["networks"][name]
        assert told["accuracy"] == pytest.approx(
            accuracy(model, study.test.images, study.test.labels)
        )
        group = all_parameters(model)
        own = dict(model.named_parameters())
        like = {one: own[one] for one in group.parameters}
        drawn = [
            corrupted_copy(model, random_corruption(like, Constraint(1.0), seed=seed))
            for seed in (0, 1)
        ]
        found = [accuracy(one, study.test.images, study.test.labels) for one in drawn]
        assert told["all_parameters"]["accuracy"][1]["random"] == pytest.approx(sum(found) / 2)
    rows = table(page, "Random against gradient-based, p = 2, n = k")
    assert [row[0] for row in rows] == ["ε", "0.01", "1"]
    layers = table(page, "resnet18, layer by layer, p = 2, n = 20")
    assert len(layers) == 1 + 10
    types = table(page, "resnet18, type by type, p = ∞")
    assert [row[0] for row in types[1:]] == ["conv", "conv", "norm", "norm", "linear", "linear"]
    said = re.findall(r"^- (.+?): \*\*(.+?)\*\*\. (.+)\.$", page, re.MULTILINE)
    assert [*map(list, said)] == [
        [finding["claim"], finding["verdict"], finding["because"]]
        for finding in headlines["findings"].values()
    ]
    assert "severity" not in page
    json.dumps(headlines, allow_nan=False)


def test_the_gradients_are_of_training_images(finished: tuple[Study, dict[str, Any]]) -> None:
    study, _ = finished
    images = gradient_images(study)
    assert len(images) == 24
    flat = {image.numpy().tobytes() for image in study.train.images}
    assert all(image.numpy().tobytes() in flat for image in images.images)


def test_the_resnet_keeps_its_batchnorm(finished: tuple[Study, dict[str, Any]]) -> None:
    study, _ = finished
    model = networks(study)["resnet18"]
    norms = normalizations(model)
    assert len(norms) == 20
    assert not model.training
    assert {type(model.get_submodule(name)) for name in norms} == {torch.nn.BatchNorm2d}


def test_headlines_are_printed_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study = a_study(NAME, tmp_path)
    monkeypatch.setattr(command, "open_study", lambda *_: study)
    monkeypatch.setattr(parameter_corruption, "run", lambda _: {"accuracy": 80.5})
    monkeypatch.setattr(sys, "argv", ["paper", NAME, "--data", "digits", "--json"])
    command.main()
    page = str(study.docs / f"{NAME}.md")
    assert json.loads(capsys.readouterr().out) == {"page": page, "accuracy": 80.5}


def report(
    groups: dict[str, list[float]], *, random: float | None = None, clean: float = 90.0
) -> CorruptionReport:
    """Accuracies by group over ε = 1, 10, 100, …"""
    rows = tuple(
        CorruptionRow(
            group, 10, 5, 10.0**place, Outcome(1.0, 1.0, accuracy),
            () if random is None else (Outcome(0.0, 0.0, random),) * 2,
        )
        for group, accuracies in groups.items()
        for place, accuracy in enumerate(accuracies)
    )  # fmt: skip
    return CorruptionReport(
        "layer", 2.0, "made up", 10, 10, 10, 0, LossAndAccuracy(0.1, clean), rows
    )


def test_gradient_against_random() -> None:
    far, near = report({"all": [88, 50]}, random=85), report({"all": [88, 70]}, random=85)
    assert gradient_beats_random({"n = k": {"a": far}}).verdict == "confirmed"
    assert gradient_beats_random({"n = k": {"a": near}}).verdict == "not confirmed"
    found = gradient_beats_random({"n = k": {"a": far}, "few": {"a": near}})
    assert found.verdict == "in part"
    assert "a, n = k: 35.0 points apart at ε = 10" in found.reason


def test_where_so_many_points_are_lost() -> None:
    found = report({"all": [90, 80, 60]}, random=60)
    assert epsilon_for(found, 20, random=False) == pytest.approx(10 * 10**0.5)
    assert epsilon_for(found, 20, random=True) == 1.0
    assert epsilon_for(found, 40, random=False) is None
    assert epsilon_for(report({"all": [10]}), 20, random=True) is None


def test_types() -> None:
    first = report({"conv": [60], "norm": [40], "linear": [80]})
    other = report({"conv": [80], "norm": [70], "linear": [60]})
    folded = report({"conv": [80], "linear": [85]})
    assert norm_most_sensitive({"a": first, "b": folded}).verdict == "confirmed"
    assert norm_most_sensitive({"a": other}).verdict == "not confirmed"
    assert norm_most_sensitive({"a": first, "b": other}).verdict == "in part"
    assert conv_before_linear({"a": first, "b": folded}).verdict == "confirmed"
    assert conv_before_linear({"a": other}).verdict == "not confirmed"
    assert "conv 38 %" in conv_before_linear({"a": first}).reason


def test_positions() -> None:
    names = [f"layer{place}" for place in range(10)]
    rising = report({name: [20.0 + place] for place, name in enumerate(names)} | {"fc": [15.0]})
    falling = report({name: [50.0 - place] for place, name in enumerate(names)} | {"fc": [80.0]})
    flat = report({name: [50.0] for name in names} | {"fc": [80.0]})
    assert position({"a": rising}).verdict == "lower layers: less robust"
    assert position({"a": falling}).verdict == "lower layers: more robust"
    assert position({"a": flat}).verdict == "lower layers: neither"
    both = position({"a": rising, "b": falling})
    assert both.verdict == "lower layers: not the same in all networks"
    assert "a: ρ = -1.00 (p = 0.0001), lower layers less robust" in both.reason


def test_neighbours() -> None:
    weak = {f"{kind}{place}": [40.0 if kind == "bn" else 60.0]
            for place in range(6) for kind in ("conv", "bn")}  # fmt: skip
    norms = {name for name in weak if name.startswith("bn")}
    found = norm_before_neighbour(report({**weak, "fc": [10.0]}), norms)
    assert found.verdict == "confirmed"
    assert found.reason.startswith("in 6 of 6 pairs (sign test, p = 0.016)")
    strong = {name: [100 - values[0]] for name, values in weak.items()}
    assert norm_before_neighbour(report(strong), norms).verdict == "not confirmed"


def test_rank_correlation() -> None:
    assert rank_correlation([1.0, 5.0, 9.0, 20.0])[0] == pytest.approx(1.0)
    assert rank_correlation([3.0, 3.0, 3.0]) == (0.0, 1.0)
    rho, p_value = rank_correlation([2.0, 1.0, 4.0, 3.0, 5.0])
    assert rho == pytest.approx(0.8)
    assert p_value == pytest.approx(2 * 8 / 120, abs=0.01)
