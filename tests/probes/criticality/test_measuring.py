"""Weaknesses and indices: as the paper has them, and nothing about the model changes."""

import copy
from dataclasses import replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rwsstore.attacks import Pgd
from rwsstore.attacks.pgd import layer_outputs
from rwsstore.errors import ConfigError
from rwsstore.files import Results
from rwsstore.models import ModelSpec, build, main_path_convolutions
from rwsstore.probes.criticality import (
    CriticalityOptions,
    measure_criticality,
    measure_weaknesses,
    measuring as measuring_module,
)
from tests.attacks.making import snapshot
from tests.probes.criticality.making import LAYERS, SHORT, data, even, small
from tests.training.tiny import two_convs


def plainly(
    model: nn.Module, layers: tuple[str, ...], images: Tensor, attacked: Tensor
) -> list[float]:
    """W of each layer: image by image, hooks by hand, in numpy."""
    seen: dict[str, list[Any]] = {}

    def look(name: str) -> list[Any]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            seen.setdefault(name, []).append(output.detach().numpy().astype(np.float64))

        return [model.get_submodule(name).register_forward_hook(hook)]

    distances: dict[str, list[float]] = {name: [] for name in layers}
    handles = [handle for name in layers for handle in look(name)]
    for one, other in zip(images, attacked, strict=True):
        outputs = []
        for shown in (one, other):
            seen.clear()
            model(shown[None])
            outputs.append({name: calls[0] for name, calls in seen.items()})
        for name in layers:
            moved = outputs[1][name] - outputs[0][name]
            distances[name].append(float(np.sqrt((moved**2).sum())) / moved.size)
    for handle in handles:
        handle.remove()
    return [sum(distances[name]) / len(images) for name in layers]


@pytest.mark.parametrize("step_size", [0.012, None])
def test_as_done_the_naive_way(step_size: float | None) -> None:
    model, (images, labels) = small(), data()
    options = replace(SHORT, step_size=step_size)
    found = measure_criticality(model, images, labels, options, seed=5)
    attacked = Pgd(0.03, steps=3, step_size=step_size).perturb(
        model, images, labels, seed=5, early_exit=False
    )
    weakness = plainly(model, LAYERS, images, attacked)
    assert (found.layers, found.images) == (LAYERS, len(images))
    np.testing.assert_allclose(found.weakness, weakness, rtol=1e-4)
    ratios = [weakness[0], *(b / a for a, b in pairwise(weakness))]
    np.testing.assert_allclose(found.indices, ratios, rtol=1e-4)


def test_weakness_is_the_product_of_the_indices_so_far() -> None:
    found = measure_criticality(small(), *data(), SHORT)
    products = [prod(found.indices[: place + 1]) for place in range(len(found.layers))]
    np.testing.assert_allclose(found.weakness, products, rtol=1e-12)
    assert min(found.weakness) > 0


@pytest.mark.parametrize("place", [0, 1, 2])
def test_weights_scaled_by_s_make_features_weaker_by_s(place: int) -> None:
    model, shown = even(), data(classes=2)
    before = measure_criticality(model, *shown, SHORT)
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        scaled.get_parameter(f"conv{place + 1}.weight").mul_(4)
    after = measure_criticality(scaled, *shown, SHORT)
    factors = np.divide(after.weakness, before.weakness)
    np.testing.assert_allclose(factors, [1.0] * place + [4.0] * (3 - place), rtol=1e-5)
    np.testing.assert_allclose(
        np.divide(after.indices, before.indices),
        [4.0 if at == place else 1.0 for at in range(3)],
        rtol=1e-5,
    )


def test_batches_change_nothing_but_rounding() -> None:
    found = [
        measure_weaknesses(small(), *data(), replace(SHORT, batch_size=size)).values
        for size in (1, 3, 50)
    ]
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, rtol=1e-4, atol=0)


def test_an_image_is_measured_by_itself() -> None:
    model, (images, labels) = small(), data()
    whole = measure_weaknesses(model, images, labels, SHORT, seed=2)
    first = measure_weaknesses(model, images[:3], labels[:3], SHORT, seed=2)
    assert whole.values.dtype == torch.float64
    assert whole.values.shape == (len(whole), len(LAYERS)) == (10, 4)
    torch.testing.assert_close(whole.values[:3], first.values, rtol=1e-4, atol=0)
    assert first.criticality().weakness == pytest.approx(
        whole.criticality(torch.arange(3)).weakness, rel=1e-4
    )


def test_the_seed_is_the_attacks() -> None:
    one, same, other = (measure_criticality(small(), *data(), SHORT, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one.weakness != other.weakness


def test_uint8_is_the_same_images() -> None:
    images, labels = data()
    whole = (images * 255).round().to(torch.uint8)
    assert measure_criticality(small(), whole, labels, SHORT) == measure_criticality(
        small(), images, labels, SHORT
    )


def test_the_callers_arithmetic_does_not_matter() -> None:
    model, shown = small(), data()
    plain = measure_criticality(model, *shown, SHORT)
    with torch.autocast("cpu", torch.bfloat16):
        assert measure_criticality(model, *shown, SHORT) == plain
    with torch.inference_mode():
        assert measure_criticality(model, *shown, SHORT) == plain


def test_the_model_is_left_as_it_is() -> None:
    model, shown = small(), data()
    model.stem.weight.requires_grad_(False)
    model(shown[0]).sum().backward()
    before = snapshot(model)
    measure_criticality(model, *shown, SHORT)
    assert snapshot(model) == before


def test_what_fails_leaves_the_model_as_it_is() -> None:
    model, (images, labels) = small(), data()
    model.head.bias.data[0] = 1.0
    before = snapshot(model)
    with pytest.raises(ConfigError):
        measure_criticality(model, images, labels, CriticalityOptions(steps=1), seed=0.5)  # type: ignore[arg-type]
    assert snapshot(model) == before


def test_the_papers_attack_is_the_default() -> None:
    assert CriticalityOptions().attack == Pgd(0.03, steps=10, step_size=0.007)


@pytest.mark.parametrize("network", ["vgg16", "resnet18", "resnet50"])
@pytest.mark.parametrize("folded", [False, True])
def test_our_networks(network: str, folded: bool) -> None:
    spec = ModelSpec(network=network, num_classes=3, width=0.125, input_size=16, folded=folded)
    model = build(spec).eval()
    found = measure_criticality(model, *data(3), CriticalityOptions(steps=1))
    assert found.layers == main_path_convolutions(model)
    assert min(found.weakness) > 0


def test_a_network_of_a_users() -> None:
    assert measure_criticality(two_convs(), *data(), SHORT).layers == ("conv1", "conv2")


def test_densenet() -> None:
    spec = ModelSpec(network="torchvision:densenet121", num_classes=3, input_size=32)
    found = measure_criticality(build(spec).eval(), *data(3, size=32), CriticalityOptions(steps=1))
    assert len(found.layers) == 120
    assert found.default_k == 6
    # After the pools between dense blocks there is less to divide by.
    assert {"network.features.denseblock4.denselayer1.conv1"} <= set(found.top())


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, shown = small(), data()
    whole = measure_weaknesses(model, *shown, SHORT)
    path = tmp_path / "kept.json"
    calls: list[Any] = []

    def stopped(*arguments: Any) -> Any:
        if len(calls) == 4:  # clean and attacked images, of two batches
            raise KeyboardInterrupt
        calls.append(arguments)
        return layer_outputs(*arguments)

    with monkeypatch.context() as patching:
        patching.setattr(measuring_module, "layer_outputs", stopped)
        with pytest.raises(KeyboardInterrupt):
            measure_weaknesses(model, *shown, SHORT, results=Results(path, {}))
    results = Results(path, {})
    assert len(results) == 2
    again = measure_weaknesses(model, *shown, SHORT, results=results)
    assert torch.equal(again.values, whole.values)
    assert len(results) == 3
