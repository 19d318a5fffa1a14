"""Everything that an inference request may not be."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from rwsstore_service.api.oip.messages import read_request
from rwsstore_service.wire.problems import ProblemError
from tests.service.api.oip.fakes import CONTRACT
from tests.service.api.oip.wire import binary_request, json_request

BYTES = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
FLOATS = torch.zeros(1, 3, 2, 2)


def refuse(body: bytes, length: str | None = None) -> ProblemError:
    with pytest.raises(ProblemError) as found:
        read_request(body, length, CONTRACT)
    assert len(found.value.detail) < 600
    found.value.detail.encode()
    return found.value


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    request = json.loads(json_request(BYTES))
    change(request)
    return json.dumps(request).encode()


def put(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda request: request["inputs"][0].update({name: value})


MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no inputs": (lambda r: r.pop("inputs"), "inputs: Field required"),
    "empty inputs": (lambda r: r.update(inputs=[]), "inputs"),
    "inputs no list": (lambda r: r.update(inputs={}), "inputs"),
    "an input no object": (lambda r: r.update(inputs=[1]), "inputs.0: expected an object"),
    "many inputs": (lambda r: r.update(inputs=[{}] * 65), "inputs"),
    "the input twice": (lambda r: r.update(inputs=r["inputs"] * 2), "given 2 times"),
    "another input too": (
        lambda r: r["inputs"].append(dict(r["inputs"][0], name="x")),
        "unknown input 'x'",
    ),
    "another input": (put("name", "image"), "unknown input 'image'"),
    "input of no text": (put("name", "\ud800"), "inputs.0.name"),
    "shape no list": (put("shape", 12), "inputs.0.shape"),
    "shape of floats": (put("shape", [1.0, 3, 2, 2]), "inputs.0.shape.0"),
    "shape of truths": (put("shape", [True, 3, 2, 2]), "inputs.0.shape.0"),
    "shape of texts": (put("shape", ["1", 3, 2, 2]), "inputs.0.shape.0"),
    "long shape": (put("shape", [1] * 9), "inputs.0.shape"),
    "no images": (put("shape", [0, 3, 2, 2]), "expected [n, 3, 2, 2]"),
    "negative": (put("shape", [-1, 3, 2, 2]), "expected [n, 3, 2, 2]"),
    "huge": (put("shape", [1, 3, 2**62, 2**62]), "expected [n, 3, 2, 2]"),
    "huge whole": (put("shape", [1, 3, 2, 10**400]), "expected [n, 3, 2, 2]"),
    "other type": (put("datatype", "FP64"), "expected UINT8"),
    "type in small letters": (put("datatype", "uint8"), "expected UINT8"),
    "type no text": (put("datatype", 8), "inputs.0.datatype"),
    "no data": (lambda r: r["inputs"][0].pop("data"), "not a list"),
    "data null": (put("data", None), "not a list"),
    "data text": (put("data", "AAAA"), "not a list"),
    "too few": (put("data", [0] * 11), "11 numbers"),
    "too many": (put("data", [0] * 13), "13 numbers"),
    "a truth": (put("data", [True] * 12), "not an integer"),
    "a float": (put("data", [1.0] * 12), "not an integer"),
    "negative number": (put("data", [-1] * 12), "0 to 255"),
    "long number": (put("data", [10**400] * 12), "0 to 255"),
    "unknown member": (lambda r: r.update(x=1), "x: nothing of this name is known"),
    "unknown in input": (put("x", 1), "inputs.0.x: nothing"),
    "shared memory": (
        put("parameters", {"shared_memory_region": "r"}),
        "inputs.0.parameters.shared_memory_region: nothing",
    ),
    "misspelt parameter": (
        lambda r: r.update(parameters={"patch_set": "none"}),
        "parameters.patch_set: nothing",
    ),
    "patch set no text": (lambda r: r.update(parameters={"patchset": 1}), "parameters.patchset"),
    "patch set of half a letter": (
        lambda r: r.update(parameters={"patchset": "\udfff"}),
        "parameters.patchset",
    ),
    "patch set too long": (
        lambda r: r.update(parameters={"patchset": "f" * 65_537}),
        "parameters.patchset",
    ),
    "timeout too long": (
        lambda r: r.update(parameters={"timeout": 3_600_000_001}),
        "parameters.timeout",
    ),
    "negative timeout": (lambda r: r.update(parameters={"timeout": -1}), "parameters.timeout"),
    "timeout no whole": (lambda r: r.update(parameters={"timeout": 0.5}), "parameters.timeout"),
    "timeout a truth": (lambda r: r.update(parameters={"timeout": True}), "parameters.timeout"),
    "timeout of text": (lambda r: r.update(parameters={"timeout": "1"}), "parameters.timeout"),
    "a key of half a letter": (lambda r: r.update({"\ud800": 1}), "unicode"),
    "truth as a number": (
        lambda r: r.update(parameters={"binary_data_output": 1}),
        "parameters.binary_data_output",
    ),
    "id no text": (lambda r: r.update(id=42), "id"),
    "id too long": (lambda r: r.update(id="x" * 1025), "id"),
    "id of half a letter": (lambda r: r.update(id="\ud800"), "id"),
    "another output": (lambda r: r.update(outputs=[{"name": "x"}]), "unknown output 'x'"),
    "an output twice": (lambda r: r.update(outputs=[{"name": "logits"}] * 2), "twice"),
    "classification": (
        lambda r: r.update(outputs=[{"name": "logits", "parameters": {"classification": 3}}]),
        "classification is not supported",
    ),
    "binary_data no truth": (
        lambda r: r.update(outputs=[{"name": "logits", "parameters": {"binary_data": 1}}]),
        "outputs.0.parameters.binary_data",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused(name: str) -> None:
    change, message = MALFORMED[name]
    problem = refuse(changed(change))
    assert problem.kind.name == "invalid-request"
    assert message in problem.detail


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"true"])
def test_json_of_another_kind_is_refused(body: bytes) -> None:
    assert refuse(body).kind.name == "invalid-request"


def test_too_many_images_are_refused_before_their_numbers_are_looked_at() -> None:
    problem = refuse(changed(put("shape", [5, 3, 2, 2])))
    assert problem.kind.name == "too-large"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NaN", "bad-request"),
        ("Infinity", "bad-request"),
        ("1e400", "invalid-request"),
        ("-1e400", "invalid-request"),
        ("1e39", "invalid-request"),
        ("1.0001", "invalid-request"),
        ("-0.5", "invalid-request"),
        ("1" + "0" * 400, "invalid-request"),
        ("1" + "0" * 5_000, "bad-request"),
        ("true", "invalid-request"),
        ('"0.5"', "invalid-request"),
        ("null", "invalid-request"),
    ],
)
def test_numbers_of_fp32_are_within_0_and_1(text: str, kind: str) -> None:
    body = json_request(FLOATS).replace(b"0.0", text.encode(), 1)
    assert refuse(body).kind.name == kind


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -1e-30, 1.0001, 1e38])
def test_binary_fp32_is_within_0_and_1(value: float) -> None:
    images = FLOATS.clone()
    images[0, 2, 1, 1] = value
    problem = refuse(*binary_request(images))
    assert problem.kind.name == "invalid-request"
    assert "within [0, 1]" in problem.detail


@pytest.mark.parametrize("depth", [500, 5_000, 500_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    text = "[" * depth + "0" + "]" * depth
    body = json_request(BYTES).replace(b"[[[[0, 0]", f"[[[[{text}, 0]".encode(), 1)
    assert refuse(body).kind.status in (400, 413, 422)


@pytest.mark.parametrize("filler", [b"0,", b"[],", b"{},", b'"",'])
def test_long_lists_are_refused_before_they_are_built(filler: bytes) -> None:
    body = b'{"inputs":[' + filler * 20_000 + b"0]}"
    assert refuse(body).kind.name == "too-large"


@pytest.mark.parametrize("size", [0, 11, 13, -1, 2**63, 10**400])
def test_wrong_byte_counts_are_refused(size: int) -> None:
    request = json.loads(json_request(BYTES))
    del request["inputs"][0]["data"]
    request["inputs"][0]["parameters"] = {"binary_data_size": size}
    text = json.dumps(request).encode()
    problem = refuse(text + bytes(12), str(len(text)))
    assert problem.kind.name == "invalid-request"
    assert "have 12 bytes" in problem.detail


@pytest.mark.parametrize("size", ["true", "12.0", '"12"', "[]"])
def test_a_byte_count_is_a_whole_number(size: str) -> None:
    body, length = binary_request(BYTES)
    text = body[: int(length)].replace(b": 12}", f": {size}}}".encode())
    problem = refuse(text + body[int(length) :], str(len(text)))
    assert "inputs.0.parameters.binary_data_size" in problem.detail


def test_bytes_that_are_missing_or_left_over_are_refused() -> None:
    body, length = binary_request(BYTES)
    assert "11 bytes stand behind" in refuse(body[:-1], length).detail
    assert "13 bytes stand behind" in refuse(body + b"\0", length).detail


def test_bytes_behind_json_that_has_none_are_refused() -> None:
    body = json_request(BYTES)
    assert "expected 0" in refuse(body + b"\0", str(len(body))).detail


def test_binary_needs_the_header() -> None:
    body, length = binary_request(BYTES)
    assert "without the header" in refuse(body[: int(length)]).detail
    assert refuse(body).kind.name == "bad-request"


def test_data_are_in_one_place() -> None:
    request = json.loads(json_request(BYTES))
    request["inputs"][0]["parameters"] = {"binary_data_size": 12}
    text = json.dumps(request).encode()
    assert "as well as" in refuse(text + bytes(12), str(len(text))).detail


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**64, max_value=10**400)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["images", "logits", "labels", "UINT8", "FP32", "active"])
)
NAMES = st.sampled_from(
    [
        *("id", "inputs", "outputs", "parameters", "name", "shape", "datatype", "data"),
        *("patchset", "binary_data_size", "binary_data", "binary_data_output", "classification"),
    ]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
PLACES: list[tuple[str | int, ...]] = [
    ("id",),
    ("parameters",),
    ("parameters", "patchset"),
    ("outputs",),
    ("outputs", 0),
    ("outputs", 0, "parameters"),
    ("inputs",),
    ("inputs", 0),
    ("inputs", 0, "name"),
    ("inputs", 0, "shape"),
    ("inputs", 0, "shape", 0),
    ("inputs", 0, "datatype"),
    ("inputs", 0, "parameters"),
    ("inputs", 0, "data"),
    ("inputs", 0, "data", 0),
    ("inputs", 0, "data", 0, 2, 1, 1),
]


@given(st.sampled_from(PLACES), VALUES)
def test_whatever_stands_somewhere_is_read_or_refused(
    place: tuple[str | int, ...], value: object
) -> None:
    request = json.loads(json_request(FLOATS, outputs=[{"name": "logits"}], parameters={}))
    target = request
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    try:
        asked = read_request(json.dumps(request).encode(), None, CONTRACT)
    except ProblemError as problem:
        assert problem.kind.status in (400, 413, 422)  # noqa: PT017  (either is right)
        problem.detail.encode()
    else:
        json.dumps([asked.id, asked.patchset], ensure_ascii=False).encode()
        assert asked.images.shape[1:] == (3, 2, 2)
