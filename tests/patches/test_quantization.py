import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from rwsstore.errors import ConfigError, TensorError
from rwsstore.patches import BIT_WIDTHS, QuantizedTensor
from rwsstore.patches.quantization import RawTensor, check_bits, quantize, requantize

Doubles = npt.NDArray[np.float64]
PACKED = (16, 8, 4, 3, 2)
TINY = 2.0**-126

deltas = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(-1e30, 1e30),
)


def reference(delta: Doubles, bits: int) -> tuple[Doubles, npt.NDArray[np.float32]]:
    """Plain loops, Python's round (half to even)."""
    delta = delta.astype(np.float32).astype(np.float64)
    largest = 2 ** (bits - 1) - 1
    codes, scales = np.zeros(delta.shape), np.zeros(len(delta), dtype=np.float32)
    for channel, row in enumerate(delta):
        scale = np.float32(max(abs(float(value)) for value in row.flat) / largest)
        if scale < np.float32(TINY):
            continue
        scales[channel] = scale
        for place in np.ndindex(row.shape):
            code = round(float(row[place]) / float(scale))
            codes[(channel, *place)] = max(-largest, min(largest, code))
    return codes, scales


@settings(deadline=None)
@given(deltas, st.sampled_from(PACKED))
def test_equals_the_plain_reference(delta: Doubles, bits: int) -> None:
    payload = quantize(torch.from_numpy(delta), bits)
    assert isinstance(payload, QuantizedTensor)
    codes, scales = reference(delta, bits)
    assert payload.bits == bits
    assert payload.codes.dtype == (torch.int16 if bits == 16 else torch.int8)
    np.testing.assert_array_equal(payload.codes.numpy(), codes)
    np.testing.assert_array_equal(payload.scale.numpy(), scales)


@settings(deadline=None)
@given(deltas, st.sampled_from(PACKED))
def test_the_error_is_at_most_half_a_scale(delta: Doubles, bits: int) -> None:
    payload = quantize(torch.from_numpy(delta), bits)
    assert isinstance(payload, QuantizedTensor)
    back = payload.delta(1.0).double().numpy()
    scale = payload.scale.double().numpy().reshape(-1, *[1] * (delta.ndim - 1))
    rounding = 2.0**-22 * np.abs(delta)
    bound = np.where(scale > 0, scale / 2 + rounding, 2 ** (bits - 1) * TINY)
    assert (np.abs(back - delta) <= bound).all()


@settings(deadline=None)
@given(deltas, st.sampled_from(PACKED))
def test_the_largest_number_of_a_channel_gets_the_largest_code(delta: Doubles, bits: int) -> None:
    payload = quantize(torch.from_numpy(delta), bits)
    assert isinstance(payload, QuantizedTensor)
    peaks = payload.codes.reshape(len(delta), -1).abs().amax(dim=1)
    assert peaks[payload.scale > 0].eq(2 ** (bits - 1) - 1).all()
    assert peaks[payload.scale == 0].eq(0).all()


def test_halves_are_rounded_to_even() -> None:
    payload = quantize(torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]], dtype=torch.float64), 8)
    assert isinstance(payload, QuantizedTensor)
    assert payload.scale.tolist() == [1.0]
    assert payload.codes.tolist() == [[127, 0, 2, 2, 0, -2]]


@pytest.mark.parametrize("bits", PACKED)
def test_a_zero_channel_has_scale_zero(bits: int) -> None:
    delta = torch.tensor([[0.0, -0.0], [1.0, -1.0]])
    payload = quantize(delta, bits)
    assert isinstance(payload, QuantizedTensor)
    assert payload.scale[0] == 0
    assert payload.scale[1] > 0
    assert payload.delta(1.5)[0].eq(0).all()


@pytest.mark.parametrize("bits", PACKED)
def test_a_channel_whose_scale_would_be_subnormal_is_zero(bits: int) -> None:
    largest = 2 ** (bits - 1) - 1
    payload = quantize(torch.tensor([[TINY * largest * (1 - 2.0**-20)], [TINY * largest]]), bits)
    assert isinstance(payload, QuantizedTensor)
    assert payload.scale.tolist() == [0.0, TINY]
    assert payload.codes.tolist() == [[0], [largest]]


@pytest.mark.parametrize("bits", BIT_WIDTHS)
@pytest.mark.parametrize("shape", [(), (4,)])
def test_less_than_two_dimensions_stay_float32(bits: int, shape: tuple[int, ...]) -> None:
    delta = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    payload = quantize(delta, bits)
    assert isinstance(payload, RawTensor)
    assert payload.bits == 32
    assert torch.equal(payload.values, delta.float())


def test_32_bits_are_the_numbers_themselves_and_a_copy_of_them() -> None:
    delta = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    before = delta.clone()
    payload = quantize(delta, 32)
    delta.zero_()
    assert isinstance(payload, RawTensor)
    assert torch.equal(payload.values, before)


def test_memory_format_does_not_matter() -> None:
    delta = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    plain = quantize(delta, 8)
    last = quantize(delta.contiguous(memory_format=torch.channels_last), 8)
    assert isinstance(plain, QuantizedTensor)
    assert isinstance(last, QuantizedTensor)
    assert torch.equal(plain.codes, last.codes)
    assert torch.equal(plain.scale, last.scale)


@pytest.mark.parametrize(
    ("shape", "bits", "expected"),
    [((4, 3, 3, 3), 32, 432), ((4, 3, 3, 3), 3, 41 + 16), ((2, 5), 8, 10 + 8), ((7,), 2, 28)],
)
def test_payload_bytes_count_codes_and_scales(
    shape: tuple[int, ...], bits: int, expected: int
) -> None:
    payload = quantize(torch.ones(shape), bits)
    assert payload.payload_bytes == expected
    assert payload.shape == shape


@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_requantizing_to_the_same_bits_is_the_same_object(bits: int) -> None:
    payload = quantize(torch.ones(2, 3), bits)
    assert requantize(payload, bits) is payload


@pytest.mark.parametrize("stored", BIT_WIDTHS)
@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_requantizing_goes_down_only(stored: int, bits: int) -> None:
    payload = quantize(torch.randn(3, 7, generator=torch.Generator().manual_seed(1)), stored)
    if bits > stored:
        with pytest.raises(ConfigError, match=f"{bits} bits asked of a patch stored at {stored}"):
            requantize(payload, bits)
        return
    assert requantize(payload, bits).bits == bits


def test_requantizing_from_32_bits_is_quantizing() -> None:
    delta = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    direct, twice = quantize(delta, 4), requantize(quantize(delta, 32), 4)
    assert isinstance(direct, QuantizedTensor)
    assert isinstance(twice, QuantizedTensor)
    assert torch.equal(direct.codes, twice.codes)
    assert torch.equal(direct.scale, twice.scale)


@pytest.mark.parametrize("bits", BIT_WIDTHS)
@pytest.mark.parametrize("shape", [(2, 2), (4,)])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e39])
def test_numbers_that_are_not_finite_float32_are_refused(
    bits: int, shape: tuple[int, ...], bad: float
) -> None:
    delta = torch.ones(shape, dtype=torch.float64)
    delta.view(-1)[-1] = bad
    with pytest.raises(TensorError, match="NaN, infinity or numbers beyond float32"):
        quantize(delta, bits)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_an_empty_delta_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError, match="empty"):
        quantize(torch.zeros(shape), 8)


@pytest.mark.parametrize("bits", [0, 1, 5, 7, 64, -8, True, 8.0, 8.5, "8", None])
def test_other_widths_are_refused(bits: Any) -> None:
    with pytest.raises(ConfigError, match="expected one of 32, 16, 8, 4, 3, 2"):
        check_bits(bits)
