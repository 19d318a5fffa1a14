import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from rwsstore.models import shallowest
from rwsstore.patches import Patch
from rwsstore.patches.algebra import scale
from rwsstore.probes import compare_signatures, gather_signatures
from rwsstore.runtime import PatchBag
from tests.probes.making import model, patch, patches, signatures

NAMES = ("fog", "snow", "contrast", "pixelate")


def vector(one: Patch, names: tuple[str, ...]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The plain reference: all numbers of some tensors in one row."""
    state = model().state_dict()
    parts = [
        one.tensors[name].delta(1.0).numpy().astype(np.float64).ravel()
        if name in one.tensors
        else np.zeros(state[name].numel())
        for name in names
    ]
    return np.concatenate(parts)


def close(found: Tensor, expected: object) -> None:
    torch.testing.assert_close(
        found, torch.tensor(np.asarray(expected)), rtol=1e-12, atol=1e-14, equal_nan=True
    )


def test_norms_and_cosines_are_those_of_plain_vectors() -> None:
    given_patches = patches(*NAMES)
    found = compare_signatures(model(), gather_signatures(model(), given_patches))
    layers = shallowest(model(), 3)
    assert found.layers == tuple(layer.name for layer in layers)
    whole = tuple(name for layer in layers for name in layer.parameters)
    every = [(whole, found.cosine)]
    every += [(layer.parameters, c) for layer, c in zip(layers, found.layer_cosine, strict=True)]
    for tensors, cosines in every:
        rows = np.stack([vector(one, tensors) for one in given_patches.values()])
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        close(cosines, units @ units.T)
    for place, layer in enumerate(layers):
        clean = np.concatenate(
            [model().state_dict()[name].double().numpy().ravel() for name in layer.parameters]
        )
        norms = np.array(
            [np.linalg.norm(vector(one, layer.parameters)) for one in given_patches.values()]
        )
        close(found.norms[:, place], norms)
        close(found.clean_norms[place], np.linalg.norm(clean))
        close(found.relative_norms[:, place], norms / np.linalg.norm(clean))
    totals = np.array([np.linalg.norm(vector(one, whole)) for one in given_patches.values()])
    close(found.total_norms, totals)
    close(found.total_relative_norms, totals / np.linalg.norm(found.clean_norms.numpy()))
    close(found.energy, ((found.norms.numpy() / totals[:, None]) ** 2).mean(0))
    upper = np.triu_indices(len(NAMES), 1)
    close(
        found.mean_layer_cosine, [cosines.numpy()[upper].mean() for cosines in found.layer_cosine]
    )


@settings(max_examples=8)
@given(order=st.permutations(range(4)), seed=st.integers(0, 2**20), layers=st.integers(1, 3))
def test_another_order_of_patches_is_another_order_of_numbers(
    order: list[int], seed: int, layers: int
) -> None:
    made = [patch(name, seed=seed + n, layers=layers) for n, name in enumerate(NAMES)]
    first = compare_signatures(
        model(), gather_signatures(model(), dict(zip(NAMES, made, strict=True)))
    )
    mixed = {NAMES[place]: made[place] for place in order}
    other = compare_signatures(model(), gather_signatures(model(), mixed))
    torch.testing.assert_close(other.cosine, first.cosine[order][:, order], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(other.norms, first.norms[order], rtol=1e-12, atol=0)
    for cosines in (first.cosine, *first.layer_cosine):
        assert torch.equal(cosines, cosines.T)
        assert torch.equal(cosines.diagonal(), torch.ones(4, dtype=torch.float64))
        assert float(cosines.abs().max()) <= 1


@settings(max_examples=8)
@given(alpha=st.floats(0.01, 2.0), seed=st.integers(0, 2**20))
def test_scaling_a_patch_scales_its_norm_and_leaves_its_direction(alpha: float, seed: int) -> None:
    fog, snow = patch("fog", seed=seed), patch("snow", seed=seed + 1)
    bag = PatchBag([fog, snow])
    plain = compare_signatures(model(), gather_signatures(model(), {"fog": fog, "snow": snow}))
    scaled = gather_signatures(model(), {"fog": scale(fog, alpha, name="a"), "snow": snow}, bag)
    found = compare_signatures(model(), scaled)
    # Each number is rounded to float32 when it is put on.
    torch.testing.assert_close(found.cosine, plain.cosine, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.norms[0], alpha * plain.norms[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(found.norms[1], plain.norms[1], rtol=1e-12, atol=0)


def test_a_patch_and_its_scaled_copy_point_the_same_way() -> None:
    fog = patch("fog")
    both = {"fog": fog, "half": scale(fog, 0.5, name="half")}
    found = compare_signatures(model(), gather_signatures(model(), both))
    assert float(found.cosine[0, 1]) == pytest.approx(1, abs=1e-6)


def test_a_layer_that_a_patch_leaves_alone_has_a_norm_of_0_and_no_cosine() -> None:
    given_patches = {"fog": patch("fog", layers=3), "snow": patch("snow", seed=1, layers=1)}
    found = compare_signatures(model(), gather_signatures(model(), given_patches))
    assert len(found.layers) == 3
    assert found.norms[1].tolist()[1:] == [0.0, 0.0]
    assert found.layer_cosine[0].isfinite().all()
    assert found.layer_cosine[1].isnan().tolist() == [[False, True], [True, True]]
    assert found.cosine.isfinite().all()
    assert found.mean_layer_cosine.isnan().tolist() == [False, True, True]


def test_the_model_is_left_alone() -> None:
    before = {name: tensor.clone() for name, tensor in model().state_dict().items()}
    compare_signatures(model(), signatures("fog", "snow"))
    assert all(torch.equal(before[name], tensor) for name, tensor in model().state_dict().items())
