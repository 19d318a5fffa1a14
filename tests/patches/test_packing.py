import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from rwsstore.errors import FormatError, TensorError
from rwsstore.patches.quantization import pack, packed_size, unpack

WIDTHS = (2, 3, 4, 8, 16)


def reference(codes: list[int], bits: int) -> bytes:
    """One big whole number, the first code in its lowest bits."""
    total = sum((code % (1 << bits)) << (place * bits) for place, code in enumerate(codes))
    return total.to_bytes((len(codes) * bits + 7) // 8, "little")


@st.composite
def codes_of_a_width(draw: st.DrawFn) -> tuple[list[int], int]:
    bits = draw(st.sampled_from(WIDTHS))
    largest = 2 ** (bits - 1) - 1
    return draw(st.lists(st.integers(-largest, largest), max_size=60)), bits


@settings(deadline=None)
@given(codes_of_a_width())
def test_packs_as_the_plain_reference_and_comes_back(drawn: tuple[list[int], int]) -> None:
    codes, bits = drawn
    packed = pack(np.array(codes, dtype=np.int16), bits)
    assert packed.dtype == np.uint8
    assert packed.tobytes() == reference(codes, bits)
    assert packed.size == packed_size(len(codes), bits)
    back = unpack(packed, len(codes), bits)
    assert back.tolist() == codes
    assert back.dtype == (np.int16 if bits == 16 else np.int8)


@pytest.mark.parametrize(
    ("codes", "bits", "expected"),
    [
        ([1, 0, 0, 0], 2, "01"),
        ([0, 0, 0, 1], 2, "40"),
        ([1, -1, 0], 2, "0d"),
        ([1, 2, 3], 3, "d100"),
        ([0, 0, -1], 3, "c001"),
        ([1, -1], 4, "f1"),
        ([127, -127], 8, "7f81"),
        ([1, -2], 16, "0100feff"),
    ],
)
def test_least_significant_bit_first(codes: list[int], bits: int, expected: str) -> None:
    assert pack(np.array(codes, dtype=np.int8), bits).tobytes().hex() == expected


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_a_tail_that_is_not_zero_is_refused(bits: int) -> None:
    packed = pack(np.ones(1, dtype=np.int8), bits)
    for bit in range(bits, 8):
        dirty = packed | np.uint8(1 << bit)
        with pytest.raises(FormatError, match="padding after the last code is not zero"):
            unpack(dirty, 1, bits)


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_code_that_symmetric_quantization_never_makes_is_refused(bits: int) -> None:
    lowest = -(2 ** (bits - 1))
    packed = np.frombuffer(reference([1, lowest, 0], bits), dtype=np.uint8)
    with pytest.raises(TensorError, match=f"code {lowest} is out of the range ±{-lowest - 1}"):
        unpack(packed, 3, bits)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("wrong", [-1, 1])
def test_the_wrong_number_of_bytes_is_refused(bits: int, wrong: int) -> None:
    packed = np.zeros(packed_size(9, bits) + wrong, dtype=np.uint8)
    with pytest.raises(FormatError, match=f"where 9 of {bits} bits take"):
        unpack(packed, 9, bits)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_code_out_of_range_is_not_packed(bits: int, sign: int) -> None:
    codes = np.array([0, sign * 2 ** (bits - 1)], dtype=np.int32).astype(np.int16)
    with pytest.raises(TensorError, match=f"of {bits} bits"):
        pack(codes, bits)
