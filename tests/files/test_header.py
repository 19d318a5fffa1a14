import json

import pytest

from rwsstore.errors import FormatError
from rwsstore.files import read_header
from rwsstore.files.header import MAX_HEADER_BYTES, MAX_TENSORS, TensorEntry
from tests.files.build import entry, pack

GOOD = pack(
    {"__metadata__": {"k": "v"}, "b": entry(4, 6), "a": entry(0, 4, dtype="F32", shape=[1])},
    b"\0\0\x80\x3f\x01\x02",
)


def test_a_good_header_is_read_whole() -> None:
    header = read_header(GOOD, what="patch")
    assert dict(header.metadata) == {"k": "v"}
    assert dict(header.tensors) == {
        "b": TensorEntry("U8", (2,), 4, 6),
        "a": TensorEntry("F32", (1,), 0, 4),
    }
    assert GOOD[header.data_start :] == b"\0\0\x80\x3f\x01\x02"


def test_header_is_immutable() -> None:
    header = read_header(GOOD, what="patch")
    with pytest.raises(TypeError):
        header.tensors["c"] = TensorEntry("U8", (0,), 0, 0)  # type: ignore[index] # the point


@pytest.mark.parametrize("header", ["{}", "{}      ", '{"a":' + json.dumps(entry(0, 0)) + "}"])
def test_empty_files_padding_and_empty_tensors_are_accepted(header: str) -> None:
    assert read_header(pack(header), what="patch").metadata == {}


def test_a_scalar_is_one_element() -> None:
    read = read_header(pack({"a": entry(0, 8, dtype="I64", shape=[])}, bytes(8)), what="patch")
    assert read.tensors["a"].shape == ()


def test_names_are_data_not_paths() -> None:
    header = read_header(
        pack({"../../etc/passwd": entry(0, 1), "é\0": entry(1, 2)}, b"xy"), what="p"
    )
    assert set(header.tensors) == {"../../etc/passwd", "é\0"}


def test_as_many_tensors_as_the_cap_are_accepted() -> None:
    header = {f"{i:x}": entry(0, 0) for i in range(MAX_TENSORS)}
    assert len(read_header(pack(header), what="patch").tensors) == MAX_TENSORS


def test_a_header_as_long_as_the_cap_is_accepted() -> None:
    read_header(pack("{}".ljust(MAX_HEADER_BYTES)), what="patch")


def test_the_message_says_what_file_it_was() -> None:
    with pytest.raises(FormatError, match=r"^checkpoint: 0 bytes;"):
        read_header(b"", what="checkpoint")
