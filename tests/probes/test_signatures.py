from pathlib import Path

import pytest
import torch
from torch import Tensor

from rwsstore.patches import AlphaRange, compose
from rwsstore.patches.algebra import scale
from rwsstore.probes import find_signatures, gather_signatures
from rwsstore.probes.similarity import OTHER, group_of
from rwsstore.runtime import PatchBag
from rwsstore.store import Store
from tests.probes.making import model, patch, patches
from tests.runtime.making import bare_patch
from tests.training.tiny import classifier


def equal(found: Tensor | None, expected: Tensor) -> bool:
    return found is not None and found.dtype == torch.float64 and torch.equal(found, expected)


def test_a_delta_is_what_the_runtime_adds_to_the_weights() -> None:
    fog = patch("fog")
    (signature,) = gather_signatures(model(), {"misty": fog})
    assert (signature.name, signature.corruption, signature.group) == ("misty", "fog", "weather")
    assert signature.digest == fog.digest
    for name, payload in fog.tensors.items():
        assert equal(signature.delta(name), payload.delta(1.0).double())
    assert signature.tensors == set(fog.tensors)
    assert signature.delta("network.classifier.weight") is None


def test_it_stands_at_its_recommended_strength() -> None:
    half = bare_patch(model(), "fog", alpha=AlphaRange(recommended=0.5))
    (signature,) = gather_signatures(model(), {"fog": half})
    name = "network.features.conv1.weight"
    assert equal(signature.delta(name), half.tensors[name].delta(0.5).double())


def test_a_composed_patch_is_the_sum_of_its_parts() -> None:
    fog, snow = patch("fog", seed=1), patch("snow", seed=2, layers=1)
    both = compose("both", [(fog, 0.5), (snow, 0.25)])
    found = gather_signatures(model(), {"both": both}, PatchBag([fog, snow]))[0]
    assert (found.corruption, found.group) == (None, OTHER)
    assert found.tensors == set(fog.tensors) | set(snow.tensors)
    for name in found.tensors:
        expected = fog.tensors[name].delta(0.5).double()
        if name in snow.tensors:
            expected = expected + snow.tensors[name].delta(0.25).double()
        torch.testing.assert_close(found.delta(name), expected, rtol=1e-12, atol=0)


def test_a_store_gives_all_of_one_model_group_by_group(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for name, one in patches("contrast", "snow", "fog", "shot_noise", "motion_blur").items():
        store.publish(one, name=f"my_{name}")
    fog = store.get("my_fog")
    store.publish(fog, name="a_fog")
    store.publish(patch("snow", seed=9), name="my_snow")
    store.publish(scale(fog, 0.5, name="half"))
    other = classifier(folded=True, seed=1)
    store.publish(bare_patch(other, "frost", corruption="frost", severity=5))
    names = [one.name for one in find_signatures(model(), store)]
    assert names == ["my_shot_noise", "my_motion_blur", "my_snow", "a_fog", "my_contrast"]
    assert find_signatures(model(), store)[2].digest == patch("snow", seed=9).digest


@pytest.mark.parametrize(
    ("corruption", "group"),
    [("fog", "weather"), ("pixelate", "digital"), ("drizzle", OTHER), (None, OTHER)],
)
def test_groups(corruption: str | None, group: str) -> None:
    assert group_of(corruption) == group
