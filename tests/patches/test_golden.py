import hashlib
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from rwsstore.canonical import sha256_hex
from rwsstore.errors import GoldenError
from rwsstore.patches import check_golden, probe_images, record_golden
from rwsstore.patches.golden import TOLERANCE, Golden

Predict = Callable[[Tensor], Tensor]
PROBE = probe_images(0, 4, 8)


def linear(gain: float, *, offset: float = 0.0) -> Predict:
    """A stand-in for a model: four logits, the last one moved by a patch of this gain."""

    def predict(images: Tensor) -> Tensor:
        rows = images.float().flatten(1)[:, :4] / 255
        return rows * torch.tensor([1.0, 2.0, 3.0, 3.0 + gain]) + offset

    return predict


CLEAN, PATCHED = linear(0.0), linear(0.5)
GOLDEN = record_golden(CLEAN, PATCHED, PROBE)


@pytest.mark.parametrize(
    ("seed", "count", "size", "digest"),
    [
        (0, 8, 32, "2241a6b03934c132362c25210259a6987c09411a192d8b763333688d3637b943"),
        (7, 2, 9, "59584684f7765c431e933ad6384a21a623ec51a14577477c73bf71e34d8fbba8"),
    ],
)
def test_the_probe_batch_is_the_same_for_ever(
    seed: int, count: int, size: int, digest: str
) -> None:
    images = probe_images(seed, count, size)
    assert images.shape == (count, 3, size, size)
    assert images.dtype == torch.uint8
    assert sha256_hex(images.numpy().tobytes()) == digest


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 3), st.integers(1, 11))
def test_the_probe_batch_is_that_of_a_plain_reference(seed: int, count: int, size: int) -> None:
    expected = [0] * (count * 3 * size * size)
    for cell in (1, 4, 8):
        cells = (size + cell - 1) // cell
        key = f"rwsstore probe 1 {seed} {count} {size} {cell}".encode()
        noise = hashlib.shake_256(key).digest(count * 3 * cells * cells)
        for place in range(len(expected)):
            plane, y, x = place // size**2, place // size % size, place % size
            expected[place] += noise[(plane * cells + y // cell) * cells + x // cell]
    found = probe_images(seed, count, size).flatten().tolist()
    assert found == [value // 3 for value in expected]


def test_the_probe_batch_depends_on_its_seed() -> None:
    assert not torch.equal(probe_images(0, 2, 8), probe_images(1, 2, 8))


def test_what_was_recorded_passes() -> None:
    assert GOLDEN.clean.shape == (4, 4)
    assert GOLDEN.clean.dtype == torch.float32
    assert not torch.equal(GOLDEN.clean, GOLDEN.patched)
    check_golden(GOLDEN, CLEAN, PATCHED, PROBE)


def test_logits_are_recorded_as_a_float32_copy() -> None:
    logits = torch.ones(4, 2, dtype=torch.float64)
    golden = record_golden(lambda _: logits, lambda _: logits * 2, PROBE)
    logits.zero_()
    assert golden.clean.dtype == torch.float32
    assert golden.clean.eq(1).all()


def test_differences_within_the_tolerance_pass_and_beyond_it_do_not() -> None:
    allowed = TOLERANCE * float(GOLDEN.clean.abs().max())
    check_golden(GOLDEN, linear(0.0, offset=0.9 * allowed), PATCHED, PROBE)
    with pytest.raises(GoldenError, match=r"the clean model's logits .* differ by"):
        check_golden(GOLDEN, linear(0.0, offset=1.1 * allowed), PATCHED, PROBE)


def test_small_logits_have_an_absolute_tolerance() -> None:
    def small(value: float) -> Predict:
        return lambda images: torch.full((len(images), 2), value)

    golden = record_golden(small(0.01), small(0.02), PROBE)
    check_golden(golden, small(0.01 + 0.9 * TOLERANCE), small(0.02), PROBE)
    with pytest.raises(GoldenError, match=r"allowed 0\.001"):
        check_golden(golden, small(0.01 + 1.1 * TOLERANCE), small(0.02), PROBE)


def test_another_patch_is_refused() -> None:
    with pytest.raises(GoldenError, match="the patched model's logits"):
        check_golden(GOLDEN, CLEAN, linear(0.4), PROBE)


def test_a_patch_that_is_not_applied_is_refused() -> None:
    with pytest.raises(GoldenError, match="the patched model's logits"):
        check_golden(GOLDEN, CLEAN, CLEAN, PROBE)


def test_a_weak_patch_that_is_not_applied_is_refused_though_within_the_tolerance() -> None:
    weak = linear(TOLERANCE / 10)
    golden = record_golden(CLEAN, weak, PROBE)
    check_golden(golden, CLEAN, weak, PROBE)
    with pytest.raises(GoldenError, match="it does nothing here"):
        check_golden(golden, CLEAN, CLEAN, PROBE)


def test_a_patch_that_changes_nothing_is_refused() -> None:
    with pytest.raises(GoldenError, match="changes no logit of its own probe batch"):
        check_golden(record_golden(CLEAN, CLEAN, PROBE), CLEAN, CLEAN, PROBE)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(GoldenError, match="clean model's logits"):
        check_golden(GOLDEN, linear(0.0, offset=bad), PATCHED, PROBE)
    with pytest.raises(GoldenError, match="patched model's logits"):
        check_golden(GOLDEN, CLEAN, linear(bad), PROBE)


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(GoldenError, match=r"logits of shape \(4, 3\), recorded were \(4, 4\)"):
        check_golden(GOLDEN, lambda images: CLEAN(images)[:, :3], PATCHED, PROBE)


def test_one_of_many_logits_suffices() -> None:
    def off(images: Tensor) -> Tensor:
        logits = PATCHED(images)
        logits[2, 1] += 0.1
        return logits

    with pytest.raises(GoldenError, match="patched model's logits"):
        check_golden(GOLDEN, CLEAN, off, PROBE)


def test_no_gradients_are_kept() -> None:
    weight = torch.ones(4, requires_grad=True)
    golden = record_golden(lambda images: CLEAN(images) * weight, PATCHED, PROBE)
    assert isinstance(golden, Golden)
    assert not golden.clean.requires_grad
