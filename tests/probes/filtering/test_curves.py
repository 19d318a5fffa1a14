"""Accuracy under filtering, against the naive way, and the model left alone."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rwsstore.files import Results
from rwsstore.models import fold_batchnorm
from rwsstore.probes.filtering import FilteringCurves, FilteringOptions, measure_curves
from tests.probes.filtering.making import EPSILON, LAYERS, SHORT, Small, data, trained


def naive(model: nn.Module, layer: str, gone: Tensor) -> tuple[Tensor, Tensor, float]:
    """Zero some weights of a copy, attack all images, and count those right both times."""
    images, labels = data()
    changed = copy.deepcopy(model)
    weight = changed.get_submodule(layer).get_parameter("weight")
    weight.data[gone] = 0
    shown = images.clone().requires_grad_(True)
    F.cross_entropy(changed(shown), labels, reduction="sum").backward()  # type: ignore[no-untyped-call]
    assert shown.grad is not None
    attacked = (images + EPSILON * shown.grad.sign()).clamp(0, 1)
    right = changed(images).argmax(1) == labels
    standing = changed(attacked).argmax(1) == labels
    return right, right & standing, 1 - float(gone.double().mean())


def removed(weight: Tensor, name: str, step: int, count: int) -> Tensor:
    """The definition, in the words of the paper."""
    low, high = weight.min().double(), weight.max().double()
    part = step / (count - 1)
    if name == "h1":
        return weight.double() <= (high if part == 1 else low + part * (high - low))
    if name == "h2":
        return weight.double() >= (low if part == 1 else high - part * (high - low))
    return (weight.double() - (low + part * (high - low))).abs() <= (high - low) / 50


@cache
def measured() -> FilteringCurves:
    """All curves of the network as it was trained."""
    return measure_curves(trained(), *data(), SHORT)


@pytest.mark.parametrize("folded", [False, True])
def test_as_done_the_naive_way(folded: bool) -> None:
    model = fold_batchnorm(trained()) if folded else trained()
    found = measure_curves(model, *data(), SHORT) if folded else measured()
    assert [(curve.layer, curve.filter) for curve in found.curves] == [
        (layer, name) for layer in LAYERS for name in ("h1", "h2", "h3")
    ]
    lost, attacked_lost = 0, 0
    for curve in found.curves:
        weight = model.get_submodule(curve.layer).get_parameter("weight")
        for step in range(5):
            gone = removed(weight, curve.filter, step, 5)
            right, standing, share = naive(model, curve.layer, gone)
            assert torch.equal(curve.clean[step], right)
            assert torch.equal(curve.attacked[step], standing)
            assert float(curve.remaining[step]) == pytest.approx(share)
            lost += int((~right).sum())
            attacked_lost += int((right & ~standing).sum())
    assert lost > 100  # there was something to see
    assert attacked_lost > 100


def test_the_network_itself() -> None:
    found = measure_curves(trained(), *data(), SHORT, layers=["head"])
    none = torch.zeros_like(trained().head.weight, dtype=torch.bool)
    right, standing, _ = naive(trained(), "head", none)
    assert found.accuracy == pytest.approx(100 * float(right.double().mean()))
    assert found.attacked_accuracy == pytest.approx(100 * float(standing.double().mean()))
    assert 0 < found.attacked_accuracy < found.accuracy < 100
    assert (found.classes, found.images, found.layers) == (3, 40, ("head",))
    curve = found.of("head")[0]
    assert curve.accuracy.tolist() == (100 * curve.clean.double().mean(1)).tolist()
    assert float(curve.attacked_accuracy[0]) == 100 * float(curve.attacked[0].double().mean())


def same(left: FilteringCurves, right: FilteringCurves) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for one, other in zip(left.curves, right.curves, strict=True)
        for name in ("thresholds", "remaining", "clean", "attacked")
    )


def test_batches_change_nothing() -> None:
    other = FilteringOptions(epsilon=EPSILON, thresholds=5, batch_size=7)
    assert same(measured(), measure_curves(trained(), *data(), other))


def test_uint8_is_the_same_images() -> None:
    images, labels = data()
    coded = (images * 255).round().to(torch.uint8)
    assert same(
        measure_curves(trained(), images, labels, SHORT, layers=["head"]),
        measure_curves(trained(), coded, labels, SHORT, layers=["head"]),
    )


def test_the_model_is_left_as_it_is() -> None:
    model = trained()
    model.stem.weight.grad = torch.ones_like(model.stem.weight)
    model.head.bias.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    hooks = sum(len(module._forward_pre_hooks) for module in model.modules())
    state = torch.random.get_rng_state()
    measure_curves(model, *data(), SHORT)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(model.stem.weight.grad, torch.ones_like(model.stem.weight))
    wanted = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert wanted == ["head.bias"]
    assert all(p.grad is None for n, p in model.named_parameters() if n != "stem.weight")
    assert not any(module.training for module in model.modules())
    assert sum(len(module._forward_pre_hooks) for module in model.modules()) == hooks == 0
    assert torch.equal(torch.random.get_rng_state(), state)


class Overflowing(Small):
    """Says class 0 by NaN where the stem's weights have lost their largest."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        if self.stem.weight.max().item() < self.most:
            logits = logits + torch.tensor([torch.nan, 0.0, 0.0])
        return logits


def test_no_answer_is_no_right_answer() -> None:
    model = Overflowing(trained().stem.weight.max().item())
    model.load_state_dict(trained().state_dict())
    found = measure_curves(model.eval(), *data(), SHORT)
    low_pass = next(curve for curve in found.of("stem") if curve.filter == "h2")
    assert not low_pass.clean.any()
    assert not low_pass.attacked.any()


def test_tied_weights_are_filtered_together() -> None:
    model = trained()
    model.block.first = nn.Conv2d(6, 6, 1).eval()
    tied = copy.deepcopy(model)
    extra = nn.Sequential(tied.block.first, nn.ReLU(), tied.block.first)
    tied.block.first = extra  # type: ignore[assignment]
    found = measure_curves(tied.eval(), *data(), SHORT)
    assert found.layers == ("stem", "block.first.0", "block.second", "head")
    # All of it gone, the inner branch is a constant.
    assert float(found.of("block.first.0")[0].remaining[-1]) == 0


class Stopped(Exception):  # noqa: N818  (no error: somebody stopped the program)
    """Stopped from outside."""


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, identity = tmp_path / "kept.json", {"run": 1}
    whole = measured()
    value, done = Results.value, list[str]()

    def stops(self: Results, key: str, measure: Any) -> Any:
        if len(done) == 6:
            raise Stopped
        done.append(key)
        return value(self, key, measure)

    with monkeypatch.context() as patching:
        patching.setattr(Results, "value", stops)
        with pytest.raises(Stopped):
            measure_curves(trained(), *data(), SHORT, results=Results(path, identity), prefix="a/")
    kept = Results(path, identity)
    assert len(kept) == 6
    assert "a/stem/h1" in kept
    resumed = measure_curves(trained(), *data(), SHORT, results=kept, prefix="a/")
    assert same(resumed, whole)
    assert (resumed.accuracy, resumed.attacked_accuracy) == (
        whole.accuracy,
        whole.attacked_accuracy,
    )

    def never(*arguments: Any) -> Tensor:
        raise AssertionError("this was measured before")

    monkeypatch.setattr("rwsstore.probes.filtering.curves.correctness", never)
    again = measure_curves(trained(), *data(), SHORT, results=Results(path, identity), prefix="a/")
    assert same(again, whole)
