import struct

import pytest
import torch
from hypothesis import given, strategies as st

from rwsstore_service.api.oip.codecs import read_binary, split_body, write_floats, write_texts
from rwsstore_service.wire.problems import ProblemError
from tests.service.api.oip.wire import read_texts


@given(st.lists(st.floats(width=32), min_size=3, max_size=30).filter(lambda x: len(x) % 3 == 0))
def test_float32_numbers_come_back_bit_for_bit(values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float32).reshape(-1, 3)
    written = write_floats(tensor)
    assert written == struct.pack(f"<{len(values)}f", *values)
    found = read_binary(memoryview(written), tuple(tensor.shape), "FP32")
    assert torch.equal(found.view(torch.int32), tensor.view(torch.int32))


@given(st.binary(min_size=12, max_size=12), st.integers(1, 9))
def test_bytes_are_read_from_any_place_and_may_be_written_to(data: bytes, before: int) -> None:
    view = memoryview(b"j" * before + data)[before:]
    found = read_binary(view, (1, 3, 2, 2), "UINT8")
    assert bytes(found.flatten().tolist()) == data
    found.zero_()
    assert view == data


def test_a_transposed_tensor_is_written_in_its_own_order() -> None:
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3).T
    assert write_floats(tensor) == struct.pack("<6f", 0, 3, 1, 4, 2, 5)


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_texts_come_back(texts: list[str]) -> None:
    assert read_texts(write_texts(texts)) == texts


def test_a_text_is_its_length_and_its_utf8() -> None:
    assert write_texts(["né", ""]) == b"\x03\0\0\0n\xc3\xa9\0\0\0\0"


@pytest.mark.parametrize(
    ("length", "text", "rest"),
    [(None, b"{}abc", b""), ("2", b"{}", b"abc"), (" 5 ", b"{}abc", b"")],
)
def test_a_body_is_split_where_its_header_says(
    length: str | None, text: bytes, rest: bytes
) -> None:
    found = split_body(b"{}abc", length)
    assert (bytes(found[0]), bytes(found[1])) == (text, rest)


@pytest.mark.parametrize(
    "length", ["", "0", "6", "-1", "+2", "2.0", "0x2", "1e0", "²", "٢", "2, 2", "nan", "9" * 5_000]
)
def test_a_length_that_is_none_is_a_bad_request(length: str) -> None:
    with pytest.raises(ProblemError, match="Inference-Header-Content-Length") as found:
        split_body(b"{}abc", length)
    assert found.value.kind.name == "bad-request"
    assert len(found.value.detail) < 200
