"""Bits of numbers, against `struct`, numpy and the packing of patch files."""

import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from rwsstore.patches.quantization import pack
from rwsstore.probes.bitflips import FORMATS, flip
from rwsstore.probes.bitflips.memory import NumberFormat, chosen_bits, from_bits, to_bits

INTEGERS = [form for form in FORMATS.values() if not form.exponent]


@st.composite
def patterns(draw: st.DrawFn) -> tuple[NumberFormat, Tensor]:
    form = draw(st.sampled_from(list(FORMATS.values())))
    bits = draw(st.lists(st.integers(0, 2**form.bits - 1), max_size=8))
    return form, torch.tensor(bits, dtype=torch.int64)


@given(patterns(), st.data())
def test_flipping_twice_gives_every_number_back_to_the_bit(
    drawn: tuple[NumberFormat, Tensor], data: st.DataObject
) -> None:
    form, bits = drawn
    bit = data.draw(st.integers(0, form.bits - 1))
    values = from_bits(bits, form)
    assert values.dtype == form.dtype
    assert torch.equal(to_bits(values, form), bits)  # NaNs keep their bits, too
    once = flip(values, bit, form)
    assert torch.equal(to_bits(once, form), bits ^ (1 << bit))
    assert torch.equal(to_bits(flip(once, bit, form), form), bits)


def as_struct(value: float, code: str) -> int:
    sizes = {"f": "I", "e": "H", "b": "B", "h": "H"}
    return int(struct.unpack("<" + sizes[code], struct.pack("<" + code, value))[0])


@given(st.floats(width=32))
def test_float32_is_what_struct_says(value: float) -> None:
    bits = to_bits(torch.tensor([value]), FORMATS["float32"])
    if not math.isnan(value):
        assert bits.tolist() == [as_struct(value, "f")]


@given(st.floats(width=16))
def test_float16_is_what_struct_says(value: float) -> None:
    bits = to_bits(torch.tensor([value]).half(), FORMATS["float16"])
    if not math.isnan(value):
        assert bits.tolist() == [as_struct(value, "e")]


@given(st.floats(width=32, allow_nan=False))
def test_bfloat16_is_the_upper_half_of_float32(value: float) -> None:
    rounded = torch.tensor([value]).bfloat16()
    upper = np.float32(rounded.float().item()).view(np.uint32) >> 16
    assert to_bits(rounded, FORMATS["bfloat16"]).tolist() == [int(upper)]


@pytest.mark.parametrize("form", INTEGERS, ids=lambda form: form.name)
def test_codes_are_as_patch_files_store_them(form: NumberFormat) -> None:
    largest = 2 ** (form.bits - 1) - 1
    codes = np.arange(-min(largest, 200), min(largest, 200) + 1)
    codes = codes.astype(np.int16 if form.bits == 16 else np.int8)
    stored = np.unpackbits(pack(codes, form.bits), bitorder="little")[: len(codes) * form.bits]
    weights = 1 << np.arange(form.bits, dtype=np.int64)
    expected = (stored.reshape(len(codes), form.bits) * weights).sum(1)
    assert to_bits(torch.from_numpy(codes), form).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("name", "value", "bit", "expected"),
    [
        ("float32", 1.0, 31, -1.0),
        ("float32", 1.0, 30, math.inf),
        ("float32", 0.5, 30, 2.0**127),
        ("float32", 0.0, 0, 2.0**-149),
        ("float32", 2.0, 30, 0.0),
        ("float32", 1.5, 22, 1.0),
        ("float16", 0.5, 14, 2.0**15),
        ("float16", 1.0, 9, 1.5),
        ("bfloat16", 0.75, 14, 1.5 * 2.0**127),
        ("bfloat16", 1.0, 6, 1.5),
        ("int8", 1, 7, -127),
        ("int8", 0, 7, -128),
        ("int4", 3, 3, -5),
        ("int3", 3, 2, -1),
        ("int2", 1, 1, -1),
        ("int2", 0, 1, -2),
        ("int16", 5, 15, -32763),
    ],
)
def test_known_flips(name: str, value: float, bit: int, expected: float) -> None:
    form = FORMATS[name]
    found = flip(torch.tensor([value]).to(form.dtype), bit, form)
    assert found.float().tolist() == [expected]


def test_flipping_the_top_bit_of_more_than_one_gives_nan() -> None:
    assert bool(flip(torch.tensor([1.5, -1.25]), 30, FORMATS["float32"]).isnan().all())


def test_positions_may_differ_from_number_to_number() -> None:
    values = torch.tensor([[1.0, 1.0], [2.0, 0.5]])
    found = flip(values, torch.tensor([31, 30]), FORMATS["float32"])
    assert found.tolist() == [[-1.0, math.inf], [-2.0, 2.0**127]]
    assert values.tolist() == [[1.0, 1.0], [2.0, 0.5]]


def test_a_transposed_tensor_is_read_in_its_own_order() -> None:
    values = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.int8).T
    assert to_bits(values, FORMATS["int8"]).tolist() == values.tolist()


@pytest.mark.parametrize(
    ("choice", "name", "expected"),
    [
        ("all", "int3", (0, 1, 2)),
        ("exponent", "float32", tuple(range(23, 31))),
        ("exponent", "float16", (10, 11, 12, 13, 14)),
        ("exponent", "bfloat16", tuple(range(7, 15))),
        ("exponent", "int8", ()),
        ("top", "float32", (30,)),
        ("top", "float16", (14,)),
        ("top", "bfloat16", (14,)),
        ("top", "int4", (3,)),
        ("30, 29", "float32", (29, 30)),
        ("30,7", "int8", (7,)),
    ],
)
def test_choices_of_bits(choice: str, name: str, expected: tuple[int, ...]) -> None:
    assert chosen_bits(choice, FORMATS[name]) == expected


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_the_exponent_is_where_the_format_has_it(name: str) -> None:
    form = FORMATS[name]
    (one,) = to_bits(torch.ones(1, dtype=form.dtype), form).tolist()
    bias = 2 ** (len(form.exponent) - 1) - 1
    assert one >> form.exponent[0] == bias
    assert form.exponent[-1] == form.bits - 2
