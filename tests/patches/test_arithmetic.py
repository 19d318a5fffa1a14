import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.patches import Patch, PatchSet, Payload, QuantizedTensor, patched_tensor
from rwsstore.patches.quantization import RawTensor, quantize
from tests.patches.factory import SHAPES, make_test_patch

Singles = npt.NDArray[np.float32]
WEIGHT = "network.conv1.weight"


def reference(clean: Tensor, parts: list[tuple[Payload, float]]) -> Singles:
    """The specification in numpy, where float32 operations are rounded one by one."""
    total = clean.numpy().copy()
    for payload, alpha in parts:
        if isinstance(payload, RawTensor):
            delta = payload.values.numpy() * np.float32(alpha)
        else:
            scale = (payload.scale.numpy().astype(np.float64) * alpha).astype(np.float32)
            codes = payload.codes.numpy().astype(np.float32)
            delta = codes * scale.reshape(-1, *[1] * (codes.ndim - 1))
        assert delta.dtype == np.float32
        total = total + delta
    result: Singles = total
    return result


def draw(seed: int, shape: tuple[int, ...] = (4, 3, 3, 3)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32), st.sampled_from((32, 16, 8, 4, 3, 2)), st.floats(0, 1e6)),
        max_size=4,
    ),
    st.sampled_from([(4,), (4, 3), (4, 3, 3, 3)]),
)
def test_equals_the_numpy_reference_to_the_bit(
    drawn: list[tuple[int, int, float]], shape: tuple[int, ...]
) -> None:
    clean = draw(0, shape)
    parts = [(quantize(draw(seed, shape), bits), alpha) for seed, bits, alpha in drawn]
    found = patched_tensor("w", clean, parts)
    assert found.dtype == torch.float32
    assert found.numpy().tobytes() == reference(clean, parts).tobytes()


def test_the_clean_weights_stay_as_they_are() -> None:
    clean = draw(0)
    before = clean.clone()
    found = patched_tensor("w", clean, [(quantize(draw(1), 8), 1.0)])
    assert torch.equal(clean, before)
    assert found.data_ptr() != clean.data_ptr()
    assert patched_tensor("w", clean, []).data_ptr() != clean.data_ptr()


def test_the_memory_format_stays_as_it_is() -> None:
    clean = draw(0).contiguous(memory_format=torch.channels_last)
    found = patched_tensor("w", clean, [(quantize(draw(1), 8), 1.0)])
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, patched_tensor("w", draw(0), [(quantize(draw(1), 8), 1.0)]))


def test_the_product_is_rounded_before_the_sum() -> None:
    """torch.add(alpha=…) rounds once, and so differs in many weights: it must not be used."""
    clean, delta = draw(0, (64, 64)), draw(1, (64, 64))
    found = patched_tensor("w", clean, [(RawTensor(delta), 0.3)])
    fused = torch.add(clean.double(), delta.double(), alpha=float(np.float32(0.3))).float()
    assert 0 < int((found != fused).sum()) < found.numel()
    torch.testing.assert_close(found, fused)


def test_the_order_of_the_parts_matters_so_a_patch_set_orders_them() -> None:
    patches = [make_test_patch(seed=seed) for seed in range(4)]
    clean = draw(9)
    forward = [(patch.tensors[WEIGHT], 0.7) for patch in patches]
    backward = patched_tensor(WEIGHT, clean, forward[::-1])
    assert not torch.equal(patched_tensor(WEIGHT, clean, forward), backward)
    asked = [(patch, 0.7) for patch in patches]
    assert PatchSet.of(asked) == PatchSet.of(asked[::-1])


@settings(deadline=None)
@given(st.permutations(range(5)))
def test_the_order_of_requests_does_not_matter(order: list[int]) -> None:
    patches = {patch.digest: patch for patch in CROWD}
    clean = draw(9)
    chosen = PatchSet.of([(CROWD[place], 0.1 * (place + 1)) for place in order])
    parts = [(patches[digest].tensors[WEIGHT], alpha) for digest, alpha in chosen]
    expected = reference(
        clean,
        [
            (patch.tensors[WEIGHT], 0.1 * (CROWD.index(patch) + 1))
            for patch in sorted(CROWD, key=lambda patch: patch.digest)
        ],
    )
    assert patched_tensor(WEIGHT, clean, parts).numpy().tobytes() == expected.tobytes()


CROWD: list[Patch] = [
    make_test_patch(seed=seed, bits=bits) for seed, bits in enumerate((32, 8, 4, 3, 2))
]


@pytest.mark.parametrize("bits", [32, 16, 8, 4, 3, 2])
def test_overflow_is_refused_and_the_tensor_named(bits: int) -> None:
    clean = torch.full(SHAPES[WEIGHT], 3e38)
    delta = torch.full(SHAPES[WEIGHT], 3e37)
    payload = quantize(delta, bits)
    assert patched_tensor(WEIGHT, clean, [(payload, 0.5)]).isfinite().all()
    with pytest.raises(TensorError, match=f"'{WEIGHT}' are not finite: use smaller alphas"):
        patched_tensor(WEIGHT, clean, [(payload, 2.0)])


@pytest.mark.parametrize("place", [0, 53, 107])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_one_overflow_among_many_is_found(place: int, sign: float) -> None:
    delta = torch.zeros(SHAPES[WEIGHT])
    delta.view(-1)[place] = sign * 3e38
    with pytest.raises(TensorError, match="not finite"):
        patched_tensor(WEIGHT, delta.clone(), [(RawTensor(delta), 1.0)])


def test_overflows_that_cancel_are_refused_too() -> None:
    huge = RawTensor(torch.full((2, 2), 3e38))
    with pytest.raises(TensorError, match="not finite"):
        patched_tensor("w", torch.full((2, 2), 3e38), [(huge, 1.0), (RawTensor(-huge.values), 1.0)])


def test_other_dtypes_and_shapes_are_refused() -> None:
    payload = quantize(draw(1, (4, 3)), 8)
    assert isinstance(payload, QuantizedTensor)
    with pytest.raises(TensorError, match=r"'w' are torch.float64; patches go on float32"):
        patched_tensor("w", draw(0, (4, 3)).double(), [(payload, 1.0)])
    with pytest.raises(TensorError, match=r"'w' have shape \(4, 1\), a delta for them \(4, 3\)"):
        patched_tensor("w", draw(0, (4, 1)), [(payload, 1.0)])
