"""The quick build is the plain one, to the bit, whatever is patched by whatever."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from rwsstore.errors import TensorError
from rwsstore.patches import Patch, PatchSet
from rwsstore.runtime import CleanModel, LiveModel, PatchBag
from rwsstore.runtime.variant import build_variant
from tests.runtime.making import MODELS, bare_patch, equal_bits, reference_state

_MODEL = MODELS["resnet18 with BatchNorm"]()
_CLEAN = CleanModel.of(_MODEL)
_NAMES = [name for name, _ in _MODEL.named_parameters()][:12]


@st.composite
def _chosen(draw: st.DrawFn) -> list[tuple[Patch, float]]:
    """Patches that touch the same, some of the same, or other tensors, at several widths."""
    return [
        (
            bare_patch(
                _MODEL,
                f"patch{seed}",
                seed=seed,
                bits=draw(st.sampled_from([32, 16, 8, 4, 3, 2])),
                names=draw(st.lists(st.sampled_from(_NAMES), min_size=1, unique=True)),
            ),
            draw(st.floats(0.01, 2)),
        )
        for seed in range(draw(st.integers(1, 4)))
    ]


@given(_chosen())
@settings(max_examples=60, deadline=None)
def test_any_patches_give_the_plain_sum(chosen: list[tuple[Patch, float]]) -> None:
    patches = PatchSet.of(chosen)
    variant = build_variant(_CLEAN, patches, {patch.digest: patch for patch, _ in chosen})
    wanted, found = reference_state(_MODEL, chosen), variant.state()
    assert set(variant.patched) == {name for patch, _ in chosen for name in patch.tensors}
    assert all(equal_bits(found[name], tensor) for name, tensor in wanted.items())


def test_tensors_longer_than_a_step() -> None:
    model = nn.Sequential(nn.Linear(300_000, 2), nn.ReLU(), nn.Linear(2, 70_000))
    patch = bare_patch(model, names=[name for name, _ in model.named_parameters()])
    other = bare_patch(model, "snow", seed=1, names=["0.weight", "2.bias"], bits=32)
    chosen = [(patch, 0.7), (other, 1.3)]
    variant = build_variant(
        CleanModel.of(model), PatchSet.of(chosen), {one.digest: one for one, _ in chosen}
    )
    wanted, found = reference_state(model, chosen), variant.state()
    assert all(equal_bits(found[name], tensor) for name, tensor in wanted.items())


def test_more_patches_than_are_kept_decoded_come_out_right(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 512, 32), nn.Flatten(), nn.Linear(512, 3))
    patches = [bare_patch(model, f"patch{n}", seed=n, names=["0.weight"]) for n in range(8)]
    live = LiveModel(model, PatchBag(patches), resident_bytes=0)
    for patch in patches * 2:
        wanted = reference_state(model, [(patch, 1.0)])
        assert equal_bits(live.variant({patch.name: 1.0}).state()["0.weight"], wanted["0.weight"])


def test_large_numbers_that_stay_finite_pass_and_others_are_named() -> None:
    model = MODELS["two convolutions"]()
    clean = CleanModel.of(model)
    patch = bare_patch(model, scale=1e37, names=["conv1.weight", "conv1.bias"], bits=32)
    fits = build_variant(clean, PatchSet.of([(patch, 2.0)]), {patch.digest: patch})
    assert bool(fits.state()["conv1.weight"].isfinite().all())
    large = bare_patch(model, scale=1e38, names=["conv1.bias"], bits=32)
    with pytest.raises(TensorError, match=r"conv1\.bias.*not finite"):
        build_variant(clean, PatchSet.of([(large, 2.0)]), {large.digest: large})


def test_a_delta_of_another_shape_is_refused() -> None:
    patch = bare_patch(MODELS["two convolutions"](), names=["conv1.weight"])
    other = nn.Module()
    other.conv1 = nn.Conv2d(3, 5, 5)
    with pytest.raises(TensorError, match=r"conv1\.weight.*have shape \(5, 3, 5, 5\)"):
        build_variant(CleanModel.of(other), PatchSet.of([(patch, 1.0)]), {patch.digest: patch})


def test_nothing_is_written_to_what_it_starts_from() -> None:
    model = MODELS["two convolutions"]()
    patch = bare_patch(model, names=["conv1.weight", "conv1.bias"])
    clean = CleanModel.of(model)
    codes = {name: payload.delta(1.0) for name, payload in patch.tensors.items()}
    for alpha in (0.5, 1.0, 1.5):
        build_variant(clean, PatchSet.of([(patch, alpha)]), {patch.digest: patch})
    assert all(equal_bits(clean.state[name], t) for name, t in model.state_dict().items())
    assert all(torch.equal(patch.tensors[name].delta(1.0), delta) for name, delta in codes.items())
