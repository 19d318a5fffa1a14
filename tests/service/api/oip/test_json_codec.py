import json

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from rwsstore_service.api.oip.codecs import parse_json, read_numbers, write_json
from rwsstore_service.api.oip.contract import JsonLimits
from rwsstore_service.wire.problems import ProblemError

LIMITS = JsonLimits(size=100_000, items=5_000, containers=2_000)

unit_floats = st.floats(0, 1, width=32)


@given(st.lists(unit_floats, min_size=12, max_size=12), st.booleans())
def test_float32_numbers_come_back_bit_for_bit(values: list[float], nested: bool) -> None:
    tensor = torch.tensor(values, dtype=torch.float32).reshape(2, 3, 2, 1)
    data = tensor.tolist() if nested else tensor.flatten().tolist()
    found = read_numbers(parse_json(write_json(data), LIMITS), (2, 3, 2, 1), "FP32")
    assert found.dtype == torch.float32
    assert same_bits(found, tensor)


@given(st.lists(st.integers(0, 255), min_size=12, max_size=12), st.booleans())
def test_bytes_come_back(values: list[int], nested: bool) -> None:
    tensor = torch.tensor(values, dtype=torch.uint8).reshape(1, 3, 2, 2)
    data = tensor.tolist() if nested else tensor.flatten().tolist()
    found = read_numbers(data, (1, 3, 2, 2), "UINT8")
    assert found.dtype == torch.uint8
    assert torch.equal(found, tensor)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_any_finite_logit_is_written_to_the_bit(value: float) -> None:
    logits = torch.tensor([value], dtype=torch.float32)
    text = write_json(logits.tolist())
    assert same_bits(torch.tensor(json.loads(text), dtype=torch.float32), logits)


def test_whole_numbers_are_read_as_fp32_too() -> None:
    assert read_numbers([0, 1, 0.5], (1, 3, 1, 1), "FP32").flatten().tolist() == [0, 1, 0.5]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{}{}",
        b"[1,]",
        b"\xff\xfe",
        "{}".encode("utf-16"),
        b"[NaN]",
        b"[-Infinity]",
        b'{"id": "1", "id": "2"}',
        b'[{"a": {"b": 1, "b": 2}}]',
        b"[" * 1_990 + b"]" * 1_990,
        b"1" + b"0" * 5_000,
        b'["\\ud8',
    ],
)
def test_what_is_not_json_is_a_bad_request(text: bytes) -> None:
    with pytest.raises(ProblemError) as found:
        parse_json(text, LIMITS)
    assert found.value.kind.name == "bad-request"
    assert len(found.value.detail) < 300
    assert found.value.detail.isascii()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b" " * 100_001, "100001 bytes"),
        (b"[" + b"0," * 5_001 + b"0]", "5001 commas"),
        (b"[" * 2_001, "2001 lists and objects"),
        (b"{" * 1_000 + b"[" * 1_001, "2001 lists and objects"),
    ],
)
def test_what_is_too_much_is_counted_before_it_is_read(text: bytes, what: str) -> None:
    with pytest.raises(ProblemError, match=what) as found:
        parse_json(text, LIMITS)
    assert found.value.kind.name == "too-large"


@pytest.mark.parametrize("datatype", ["UINT8", "FP32"])
@pytest.mark.parametrize(
    "data",
    [
        None,
        "abc",
        1,
        {},
        [],
        [0, 0],
        [0, 0, 0, 0],
        [True, 0, 0],
        [None, 0, 0],
        ["0", 0, 0],
        [{}, 0, 0],
        [0, [0], 0],
        [10**400, 0, 0],
        [[[[0]], [[0]], [[0]]], 0],
        [[[[0]], [[0]]]],
        [[[[0]], [[0]], [0]]],
        [[[[0]], [[0]], [[[0]]]]],
        [[[[0]], [[0]], [[0, 0]]]],
        [[0, 0, 0]],
        [[[[0]], [[0]], [["0"]]]],
    ],
)
def test_data_that_are_not_this_tensor_are_refused(data: object, datatype: str) -> None:
    with pytest.raises(ProblemError, match="images: ") as found:
        read_numbers(data, (1, 3, 1, 1), datatype)
    assert found.value.kind.name == "invalid-request"


@pytest.mark.parametrize("value", [-1, 256, 1.0, 0.5])
def test_uint8_holds_whole_numbers_of_a_byte(value: float) -> None:
    with pytest.raises(ProblemError, match="data of UINT8"):
        read_numbers([value, 0, 0], (1, 3, 1, 1), "UINT8")


def test_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json([float("nan")])


def same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.view(torch.int32), other.view(torch.int32))
