"""What the header pass must refuse, each for its own reason."""

import json
import tracemalloc

import pytest

from rwsstore.errors import FormatError
from rwsstore.files import load_tensors, read_header
from rwsstore.files.header import MAX_HEADER_BYTES, MAX_TENSORS
from tests.files.build import entry, pack
from tests.files.test_header import GOOD

DATA = bytes(8)


def refused(data: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match) as error:
        read_header(data, what="patch")
    assert len(str(error.value)) < 1000
    with pytest.raises(FormatError):
        load_tensors(data, what="patch")


@pytest.mark.parametrize("size", range(len(GOOD)))
def test_every_prefix_is_refused(size: int) -> None:
    refused(GOOD[:size], "patch: ")


def test_a_trailing_byte_is_refused() -> None:
    refused(GOOD + b"\0", "take 6 bytes, the file holds 7")


@pytest.mark.parametrize(
    ("length", "match"),
    [
        (0, "not one JSON object"),
        (7, "not one JSON object"),
        (len(GOOD) - 15, "not one JSON object|not JSON"),
        (2**63, "at most 1048576 are read"),
        (2**64 - 1, "at most 1048576 are read"),
    ],
)
def test_lying_header_lengths_are_refused(length: int, match: str) -> None:
    refused(length.to_bytes(8, "little") + GOOD[8:], match)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_header_length_off_by_one_is_refused(off: int) -> None:
    length = int.from_bytes(GOOD[:8], "little") + off
    refused(length.to_bytes(8, "little") + GOOD[8:], "JSON")


def test_a_length_beyond_the_file_is_refused() -> None:
    refused(pack("{}", length=3), "cut short")


def peak_while_refusing(data: bytes, match: str) -> int:
    tracemalloc.start()
    try:
        refused(data, match)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_header_of_50_mb_is_refused_before_it_is_parsed() -> None:
    data = pack("{}".ljust(50_000_000))
    assert peak_while_refusing(data, "header of 50000000 bytes") < 100_000


def test_a_million_tensors_are_refused_before_they_are_parsed() -> None:
    one = ',"%07d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = "{" + "".join(one % i for i in range(1_000_000))[1:] + "}"
    assert peak_while_refusing(pack(header), "at most 1048576 are read") < 100_000


def test_one_tensor_too_many_is_refused() -> None:
    header = {f"{i:x}": entry(0, 0) for i in range(MAX_TENSORS + 1)}
    assert len(pack(header)) < MAX_HEADER_BYTES
    refused(pack(header), "10001 tensors; at most 10000")


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (entry(3, 8), "overlaps"),
        (entry(0, 8), "overlaps"),
        (entry(0, 4), "overlaps"),
        (entry(5, 8), "leaves a hole"),
        (entry(4, 7), "the file holds 8"),
        (entry(4, 9), "the file holds 8"),
        (entry(8, 4, shape=[0]), r"data_offsets \[8, 4\]"),
        (entry(-4, 4, shape=[8]), "out of range"),
        (entry(4, 2**64 + 4, shape=[2**64]), "out of range"),
        ({**entry(4, 8), "data_offsets": [4, 8, 8]}, "data_offsets"),
        ({**entry(4, 8), "data_offsets": [4]}, "data_offsets"),
        ({**entry(4, 8), "data_offsets": [4, 8.0]}, "not a list of whole numbers"),
        ({**entry(4, 8), "data_offsets": [4, True]}, "not a list of whole numbers"),
        ({**entry(4, 8), "data_offsets": "48"}, "not a list of whole numbers"),
    ],
)
def test_bad_offsets_are_refused(second: dict[str, object], match: str) -> None:
    refused(pack({"a": entry(0, 4), "b": second}, DATA), match)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ([7], "takes 7"),
        ([], "takes 1"),
        ([2, 5], "takes 10"),
        ([0], "takes 0"),
        ([-8], "out of range"),
        ([-2, -4], "out of range"),
        ([8.0], "not a list of whole numbers"),
        ([True, 8], "not a list of whole numbers"),
        ([None], "not a list of whole numbers"),
        (8, "not a list of whole numbers"),
        ([2**63], "out of range"),
        ([2**32, 2**32], "overflows"),
        ([2**61 + 1, 8], "overflows"),  # 8 modulo 2^64
        ([0, 2**62, 2**62], "overflows"),
        ([1] * 16 + [8], "17 dimensions"),
    ],
)
def test_bad_shapes_are_refused(shape: object, match: str) -> None:
    refused(pack({"a": entry(0, 8, shape=shape)}, DATA), match)


@pytest.mark.parametrize("dtype", ["F32", "I64", "F16"])
def test_a_dtype_that_disagrees_with_the_bytes_is_refused(dtype: str) -> None:
    refused(pack({"a": entry(0, 8, dtype=dtype, shape=[8])}, DATA), "of shape")


@pytest.mark.parametrize(
    "dtype",
    ["F4", "F6_E2M3", "F8_E4M3", "F8_E5M2", "F8_E8M0", "C64", "U16", "U64", "u8", "", None, 8],
)
def test_dtypes_that_are_not_read_are_refused(dtype: str) -> None:
    refused(pack({"a": entry(0, 8, dtype=dtype, shape=[8])}, DATA), "has dtype .*; read are F64")


A = '"a":' + json.dumps(entry(0, 8))


@pytest.mark.parametrize(
    ("header", "match"),
    [
        (f"{{{A},{A}}}", "'a' appears twice"),
        (f'{{{A},"\\u0061":{json.dumps(entry(8, 8))}}}', "'a' appears twice"),
        (f'{{"__metadata__":{{"k":"1","k":"2"}},{A}}}', "'k' appears twice"),
        (f'{{"__metadata__":{{}},{A},"__metadata__":{{}}}}', "'__metadata__' appears twice"),
        ('{"a":{"dtype":"U8","dtype":"U8","shape":[8],"data_offsets":[0,8]}}', "'dtype' appears"),
    ],
)
def test_duplicate_keys_at_any_level_are_refused(header: str, match: str) -> None:
    refused(pack(header, DATA), match)


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ({"a": {**entry(0, 8), "strides": [1]}}, "exactly"),
        ({"a": {"dtype": "U8", "shape": [8]}}, "exactly"),
        ({"a": []}, "exactly"),
        ({"a": None}, "exactly"),
        ({"a": entry(0, 8), "__metadata__": None}, "an object was expected"),
        ({"a": entry(0, 8), "__metadata__": ["k"]}, "an object was expected"),
        ({"a": entry(0, 8), "__metadata__": {"k": 1}}, "not a string"),
        ({"a": entry(0, 8), "__metadata__": {"k": {"j": "v"}}}, "not a string"),
    ],
)
def test_unknown_missing_and_mistyped_fields_are_refused(
    header: dict[str, object], match: str
) -> None:
    refused(pack(header, DATA), match)


@pytest.mark.parametrize(
    "header",
    [
        f" {{{A}}}",
        f"\n{{{A}}}",
        f"\ufeff{{{A}}}",
        f"{{{A}}}\n",
        f"{{{A}}}\0",
        f"{{{A}}}{{}}",
        f"{{{A},}}",
        f"[{A}]",
        "",
        "null",
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":{"dtype":"U8","shape":[' + "9" * 5000 + '],"data_offsets":[0,8]}}',
        '{"a":' * 100_000 + "}" * 100_000,
        '{"\\ud800":' + json.dumps(entry(0, 8)) + "}",
        f'{{"__metadata__":{{"k":"\\udfff"}},{A}}}',
        b'{"\xff":' + json.dumps(entry(0, 8)).encode() + b"}",
    ],
)
def test_anything_but_one_json_object_is_refused(header: str | bytes) -> None:
    refused(pack(header, DATA), "patch: ")
