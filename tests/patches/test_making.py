import math
from typing import Any

import pytest
import torch

from rwsstore.errors import ConfigError, TensorError
from rwsstore.patches import AlphaRange, Patch, QuantizedTensor, RecordedRecipe, make_patch
from rwsstore.patches.quantization import RawTensor
from tests.patches.factory import make_deltas, make_identity, make_test_patch

WEIGHT, BIAS = "network.conv1.weight", "network.conv1.bias"


def make(**changes: Any) -> Patch:
    fields: dict[str, Any] = {
        "kind": "rws", "name": "fog", "model": make_identity(), "layers": ("network.conv1",),
        "deltas": make_deltas(), "bits": 8,
    }  # fmt: skip
    return make_patch(**{**fields, **changes})


def test_deltas_become_payloads() -> None:
    patch = make()
    assert list(patch.tensors) == [BIAS, WEIGHT]
    weight, bias = patch.tensors[WEIGHT], patch.tensors[BIAS]
    assert isinstance(weight, QuantizedTensor)
    assert isinstance(bias, RawTensor)
    deltas = make_deltas()
    assert torch.equal(bias.values, deltas[BIAS].float())
    assert (weight.delta(1.0) - deltas[WEIGHT]).abs().max() <= weight.scale.max() / 2 * 1.001


def test_it_belongs_to_the_model() -> None:
    metadata, identity = make().metadata, make_identity()
    assert metadata.architecture == identity.architecture
    assert metadata.clean_weights == identity.clean_weights
    assert metadata.model == identity.tensors
    assert metadata.layers == ("network.conv1",)
    assert metadata.tensors == {WEIGHT: 8, BIAS: 32}


def test_further_fields_are_kept() -> None:
    recipe = RecordedRecipe(name="robust", seed=1, parameters={"epochs": 3})
    patch = make(corruption="snow", severity=2, recipe=recipe, alpha=AlphaRange(maximum=1.5))
    assert patch.metadata.corruption == "snow"
    assert patch.metadata.severity == 2
    assert patch.metadata.recipe == recipe
    assert patch.metadata.alpha.maximum == 1.5


def test_the_order_of_the_deltas_does_not_matter() -> None:
    deltas = make_deltas()
    assert make(deltas=dict(reversed(deltas.items()))).digest == make(deltas=deltas).digest


def test_the_deltas_stay_as_they_are() -> None:
    deltas = make_deltas()
    patch = make(deltas=deltas, bits=32)
    for delta in deltas.values():
        delta.zero_()
    assert patch.digest == make(bits=32).digest
    assert all(payload.delta(1.0).any() for payload in patch.tensors.values())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"bits": 5}, "bits is 5; expected one of"),
        ({"name": "No Name"}, "name: String should match"),
        ({"kind": "composed"}, "composed patch has parts"),
        ({"kind": "Magic!"}, "kind: String should match"),
        ({"deltas": {}}, "has tensors and bits"),
        ({"severity": 3}, "corruption and severity go together"),
        ({"severety": 3}, "severety: Extra inputs are not permitted"),
        ({"layers": ["network.conv1"]}, "layers: Input should be a valid tuple"),
        ({"dataset": "\ud800"}, "dataset: Input should be a valid string"),
    ],
)
def test_fields_that_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match) as error:
        make(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bits", [32, 8, 2])
@pytest.mark.parametrize("name", [WEIGHT, BIAS])
@pytest.mark.parametrize("bad", [math.nan, -math.inf, 1e39])
def test_numbers_that_are_not_finite_are_refused_and_the_tensor_named(
    bits: int, name: str, bad: float
) -> None:
    deltas = make_deltas()
    deltas[name].view(-1)[1] = bad
    with pytest.raises(TensorError, match=f"delta '{name}': the delta holds NaN"):
        make(deltas=deltas, bits=bits)


def test_shapes_that_are_not_the_models_are_refused() -> None:
    deltas = {**make_deltas(), WEIGHT: torch.zeros(4, 3, 3, 1)}
    with pytest.raises(TensorError, match=r"shape \(4, 3, 3, 1\); the model's .* \(4, 3, 3, 3\)"):
        make(deltas=deltas)
    with pytest.raises(TensorError, match=r"'other' has shape .* no such name"):
        make(deltas={"other": torch.zeros(2)})


def test_the_factory_makes_different_patches() -> None:
    digests = {make_test_patch(seed=seed, bits=bits).digest for seed in (0, 1) for bits in (8, 4)}
    assert len(digests) == 4
