"""Patch files that must be refused, each for its own reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save

from rwsstore.canonical import canonical_json
from rwsstore.errors import FormatError, TensorError
from rwsstore.patches import GoldenProbe, Patch, RecordedRecipe, compose, format as patch_format
from rwsstore.patches.golden import Golden
from tests.patches.factory import make_model, make_test_patch
from tests.patches.hostile import (
    Document,
    Tensors,
    put_together,
    take_apart,
    with_description,
    with_tensors,
    with_text,
)

WEIGHT, BIAS = "network.conv1.weight", "network.conv1.bias"
PATCH = make_test_patch(recipe=RecordedRecipe(name="robust", seed=0, parameters={"rate": 0.5}))
GOLDEN = Golden(torch.zeros(2, 3), torch.ones(2, 3))
MEASURED = PATCH.with_evidence(card=None, golden=GOLDEN, probe=GoldenProbe(seed=0, count=2, size=8))
COMPOSED = compose("both", [(PATCH, 0.5), (make_test_patch(seed=1), 0.25)])


def refused(data: bytes, match: str, error: type[Exception] = FormatError) -> None:
    with pytest.raises(error, match=match) as raised:
        Patch.from_bytes(data)
    assert type(raised.value) is error
    message = str(raised.value)
    assert message.startswith("patch: ")
    assert len(message) < 500
    assert message.isprintable()


# Bytes


@pytest.mark.parametrize("patch", [MEASURED, COMPOSED], ids=["tensors", "composed"])
def test_every_prefix_is_refused(patch: Patch) -> None:
    data = patch.to_bytes()
    for size in range(len(data)):
        with pytest.raises(FormatError, match=r"^patch: "):
            Patch.from_bytes(data[:size])


@pytest.mark.parametrize("patch", [make_test_patch(bits=3), MEASURED, COMPOSED])
@pytest.mark.parametrize("flip", ["all", "one"])
def test_a_changed_byte_is_refused_or_another_patch(patch: Patch, flip: str) -> None:
    data = patch.to_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0xFF if flip == "all" else 1 << (place % 8)
        try:
            other = Patch.from_bytes(bytes(changed))
        except (FormatError, TensorError) as error:
            assert str(error).startswith("patch: ")  # noqa: PT017 - most are refused, not all
        else:
            assert other.digest != patch.digest


def test_other_bytes_are_refused() -> None:
    refused(b"", "0 bytes")
    refused(PATCH.to_bytes() + b"\0", "the file holds")
    refused(b"PK\x03\x04" + bytes(100), "header of")


def test_more_bytes_than_the_cap_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    data = PATCH.to_bytes()
    monkeypatch.setattr(patch_format, "MAX_PATCH_BYTES", len(data))
    Patch.from_bytes(data)
    refused(data + b"\0", f"{len(data) + 1} bytes; at most {len(data)} are read")


# Tensors


def replaced(name: str, value: Any) -> bytes:
    return with_tensors(PATCH, lambda tensors: tensors.__setitem__(name, value))


@pytest.mark.parametrize("name", [f"{WEIGHT}.q", f"{WEIGHT}.scale", f"{BIAS}.f32"])
def test_a_missing_tensor_is_refused(name: str) -> None:
    refused(with_tensors(PATCH, lambda tensors: tensors.pop(name)), f"tensor '{name}' is missing")


@pytest.mark.parametrize("name", ["golden.clean", "golden.patched"])
def test_missing_golden_logits_are_refused(name: str) -> None:
    refused(with_tensors(MEASURED, lambda tensors: tensors.pop(name)), "promised by its descr")


@pytest.mark.parametrize(
    "name",
    [
        "other", "golden.clean", f"{BIAS}.q", f"{WEIGHT}.f32", f"{WEIGHT}.Q", "network.fc.bias.f32",
        "../../etc/passwd", "x\x1b[2J" * 200,
    ],
)  # fmt: skip
def test_a_foreign_tensor_is_refused(name: str) -> None:
    refused(replaced(name, torch.zeros(4)), "is not in its description")


def test_a_composed_patch_with_a_tensor_is_refused() -> None:
    data = with_tensors(COMPOSED, lambda tensors: tensors.__setitem__("a.f32", torch.zeros(1)))
    refused(data, "'a.f32' is not in its description")


def test_a_tensor_twice_is_refused() -> None:
    data = PATCH.to_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length]
    entry = json.dumps(json.loads(header)[f"{BIAS}.f32"], separators=(",", ":"))
    doubled = header.replace(b"{", f'{{"{BIAS}.f32":{entry},'.encode(), 1)
    refused(len(doubled).to_bytes(8, "little") + doubled + data[8 + length :], "appears twice")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (f"{WEIGHT}.q", torch.zeros(108, dtype=torch.int8)),
        (f"{WEIGHT}.q", torch.zeros(107, dtype=torch.uint8)),
        (f"{WEIGHT}.q", torch.zeros(109, dtype=torch.uint8)),
        (f"{WEIGHT}.q", torch.zeros(4, 27, dtype=torch.uint8)),
        (f"{WEIGHT}.q", torch.zeros(0, dtype=torch.uint8)),
        (f"{WEIGHT}.scale", torch.zeros(4, dtype=torch.float64)),
        (f"{WEIGHT}.scale", torch.zeros(3)),
        (f"{WEIGHT}.scale", torch.zeros(4, 1)),
        (f"{WEIGHT}.scale", torch.zeros(())),
        (f"{BIAS}.f32", torch.zeros(4, dtype=torch.float16)),
        (f"{BIAS}.f32", torch.zeros(2, 2)),
        (f"{BIAS}.f32", torch.zeros(5)),
    ],
)
def test_tensors_of_another_dtype_or_shape_are_refused(name: str, value: torch.Tensor) -> None:
    refused(replaced(name, value), f"tensor '{name}' is torch.*; expected torch")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (float("nan"), "holds NaN or infinity"),
        (float("inf"), "holds NaN or infinity"),
        (float("-inf"), "holds NaN or infinity"),
        (-0.5, "holds a negative scale"),
        (-0.0, "holds a negative scale"),
        (1e-40, "holds a subnormal scale; a channel of zeros has 0"),
        (2.0**-126 - 2.0**-149, "holds a subnormal scale"),
        (0.0, None),
    ],
)
def test_scales_that_are_refused(value: float, match: str | None) -> None:
    def change(tensors: Tensors) -> None:
        tensors[f"{WEIGHT}.scale"][2] = value

    if match is None:
        name, match = f"{WEIGHT}.q", "has codes in a channel of scale 0"
    else:
        name = f"{WEIGHT}.scale"
    refused(with_tensors(PATCH, change), f"tensor '{name}' {match}", TensorError)


def test_the_smallest_scale_is_read() -> None:
    def change(tensors: Tensors) -> None:
        tensors[f"{WEIGHT}.scale"][2] = 2.0**-126

    Patch.from_bytes(with_tensors(PATCH, change))


@pytest.mark.parametrize(
    ("bits", "first"), [(16, b"\x00\x80"), (8, b"\x80"), (4, b"\x08"), (3, b"\x04"), (2, b"\x02")]
)
def test_the_code_out_of_range_is_refused(bits: int, first: bytes) -> None:
    def change(tensors: Tensors) -> None:
        mask = (1 << min(bits, 8)) - 1
        for place, byte in enumerate(first):
            kept = tensors[f"{WEIGHT}.q"][place] & (0xFF ^ mask)
            tensors[f"{WEIGHT}.q"][place] = kept | byte

    data = with_tensors(make_test_patch(bits=bits), change)
    lowest = -(2 ** (bits - 1))
    refused(data, rf"tensor '{WEIGHT}.q': code {lowest} is out of the range", TensorError)


def test_padding_that_is_not_zero_is_refused() -> None:
    def change(tensors: Tensors) -> None:
        tensors[f"{WEIGHT}.q"][-1] |= 0x80

    # 108 codes of 3 bits are 324 bits, 4 bits into the last byte.
    refused(with_tensors(make_test_patch(bits=3), change), f"'{WEIGHT}.q': the padding")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [f"{BIAS}.f32", "golden.clean", "golden.patched"])
def test_numbers_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    def change(tensors: Tensors) -> None:
        tensors[name].view(-1)[-1] = bad

    refused(with_tensors(MEASURED, change), f"tensor '{name}' holds NaN", TensorError)


@pytest.mark.parametrize(
    ("clean", "patched"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4)),
        (torch.zeros(3, 3), torch.zeros(3, 3)),
        (torch.zeros(2, 0), torch.zeros(2, 0)),
        (torch.zeros(6), torch.zeros(6)),
        (torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 3)),
    ],
)
def test_misshapen_golden_logits_are_refused(clean: torch.Tensor, patched: torch.Tensor) -> None:
    document, tensors = take_apart(MEASURED)
    tensors = {**tensors, "golden.clean": clean, "golden.patched": patched}
    refused(put_together(document, tensors), "fit the probe batch|float32 matrix of logits")


# The description


def test_no_description_is_refused() -> None:
    _, tensors = take_apart(PATCH)
    refused(save(tensors), r"metadata keys are \[\]; expected \[rwsstore\] alone")
    refused(save(tensors, metadata={"format": "pt"}), r"metadata keys are \[format\]")


def test_a_second_metadata_key_is_refused() -> None:
    document, tensors = take_apart(PATCH)
    metadata = {"rwsstore": canonical_json(document), "format": "pt"}
    refused(save(tensors, metadata=metadata), r"keys are \[format, rwsstore\]")


@pytest.mark.parametrize(
    "text",
    ["", "{", "nonsense", "[" * 100_000, '{"version":' * 50_000, '{"version":' + "9" * 5000 + "}"],
    ids=["empty", "cut", "words", "nested lists", "nested objects", "5000 digits"],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    refused(with_text(PATCH, lambda _: text), "metadata is not JSON")


@pytest.mark.parametrize(
    "text",
    [
        "null", "1", "[]", "{}", '{"version":0}', '{"version":2}', '{"version":"1"}',
        '{"version":true}', '{"version":null}', '{"version":[1]}', '{"version":NaN}',
        '{"version":1e400}', '{"version":"' + "x" * 9000 + '"}',
    ],
)  # fmt: skip
def test_other_versions_are_refused(text: str) -> None:
    refused(with_text(PATCH, lambda _: text), "format version .*; this rwsstore reads version 1")


def test_a_later_version_is_refused_before_anything_else_is_looked_at() -> None:
    data = with_description(PATCH, lambda document: document.update(version=2, new_key=[1]))
    refused(data, "format version 2; this rwsstore reads version 1")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + " ",
        lambda text: " " + text,
        lambda text: text.replace(":", ": "),
        lambda text: json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":")),
        lambda text: text.replace('"kind":"rws"', '"kind":"clat","kind":"rws"'),
        lambda text: text.replace('"kind":"rws"', '"kind":"rws","kind":"rws"'),
        lambda text: text.replace('"kind"', '"\\u006bind"'),
        lambda text: text.replace('"name":"fog"', '"name":"f\\u006fg"'),
        lambda text: text.replace('"rate":0.5', '"rate":0.50'),
        lambda text: text.replace('"rate":0.5', '"rate":5e-1'),
        lambda text: text.replace('"rate":0.5', '"rate":0.5000000000000000001'),
        lambda text: text.replace('"maximum":2.0', '"maximum":2'),
        lambda text: text.replace('"minimum":0.0', '"minimum":-0.0'),
        lambda text: text.replace('"anchor":null,', ""),
        lambda text: text.replace('"version":1', '"version":1.0'),
    ],
    ids=[
        "trailing space", "leading space", "spaces", "keys not sorted", "key twice",
        "key twice, equal", "escaped key", "escaped value", "trailing zero", "exponent",
        "too many digits", "int for float", "negative zero", "default left out", "float version",
    ],
)  # fmt: skip
def test_json_that_is_not_canonical_is_refused(change: Callable[[str], str]) -> None:
    assert change(canonical_json(take_apart(PATCH)[0])) != canonical_json(take_apart(PATCH)[0])
    refused(with_text(PATCH, change), "metadata (is not canonical JSON|version: Input should be 1)")


def test_text_beyond_ascii_is_written_escaped() -> None:
    patch = make_test_patch(dataset="é")
    Patch.from_bytes(with_text(patch, lambda text: text))
    refused(with_text(patch, lambda text: text.replace("\\u00e9", "é")), "not canonical JSON")
    refused(with_text(patch, lambda text: text.replace("\\u00e9", "\\u00E9")), "not canonical")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"rate":0.5', '"rate":NaN'),
        ('"rate":0.5', '"rate":Infinity'),
        ('"rate":0.5', '"rate":1e400'),
        ('"rate":0.5', '"rate":null'),
        ('"rate":0.5', '"rate":[0.5]'),
        ('"rate":0.5', '"rate":"\\u0000"'),
        ('"rate":0.5', '"rate":"\\ud800"'),
        ('"rate":0.5', '"\\ud800":0.5'),
        ('"maximum":2.0', '"maximum":true'),
        ('"maximum":2.0', '"maximum":"2.0"'),
        ('"maximum":2.0', '"maximum":1e400'),
        ('"maximum":2.0', '"maximum":-1.0'),
        ('"severity":5', '"severity":true'),
        ('"severity":5', '"severity":5.0'),
        ('"severity":5', '"severity":6'),
        ('"seed":0', '"seed":9223372036854775808'),
        ('"seed":0', '"seed":' + "1" * 4000),
        ('"projected":false', '"projected":0'),
        ('"name":"fog"', '"name":"..\\/fog"'),
        ('"name":"fog"', '"name":"fog\\n"'),
        ('"corruption":"fog"', '"corruption":"\\u001b[2J"'),
        ('"kind":"rws"', '"kind":"composed"'),
        ('"kind":"rws"', '"kind":"rws","x\\u001b[2J":1'),
        ('"bits":8', '"bits":16'),
        ('"bits":8', '"bits":null'),
        (f'"{WEIGHT}":8', f'"{WEIGHT}":4'),
        (f'"{WEIGHT}":8', f'"{WEIGHT}":true'),
        (f'"{BIAS}":32', f'"{BIAS}":8'),
        (f'"{BIAS}":32,', f'"{BIAS}":32,"other":32,'),
        ('"shape":[4,3,3,3]', '"shape":[4,3,3,-3]'),
        ('"shape":[4,3,3,3]', '"shape":[4,3,3,9223372036854775808]'),
        ('"shape":[4,3,3,3]', '"shape":[4,3,3,5]'),
        ('"parts":[]', '"parts":[{"alpha":1.0,"digest":"' + "a" * 64 + '"}]'),
    ],
)
def test_values_that_are_refused(old: str, new: str) -> None:
    assert old in canonical_json(take_apart(PATCH)[0])
    refused(with_text(PATCH, lambda text: text.replace(old, new)), "^patch: metadata .*")


def test_an_architecture_that_is_not_the_models_is_refused() -> None:
    data = with_description(PATCH, lambda document: document.update(architecture="0" * 64))
    refused(data, "architecture is not the fingerprint of the tensors listed in model")


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["parts"].reverse(),
        lambda document: document["parts"].append(document["parts"][1]),
        lambda document: document["parts"].clear(),
        lambda document: document["parts"][0].update(alpha=0.0),
        lambda document: document["parts"][0].update(alpha=-0.5),
        lambda document: document["parts"][0].update(digest="A" * 64),
        lambda document: document["parts"][0].update(digest="../" + "a" * 61),
        lambda document: document["parts"][0].update(name="fog"),
        lambda document: document.update(bits=8),
    ],
)
def test_composed_patches_that_are_refused(change: Callable[[Document], object]) -> None:
    refused(with_description(COMPOSED, change), "^patch: metadata ")


@pytest.mark.parametrize("shape", [(0, 2**62), (2**31, 2**31), (0, 3), (2**40, 0)])
def test_shapes_that_no_file_can_hold_are_refused(shape: tuple[int, ...]) -> None:
    model = make_model(("w", shape, "float32"))

    def change(document: Document) -> None:
        document["model"] = [entry.model_dump(mode="json") for entry in model.tensors]
        document["architecture"] = model.architecture
        document["tensors"] = {"w": 8}

    document, _ = take_apart(PATCH)
    change(document)
    tensors = {"w.q": torch.zeros(0, dtype=torch.uint8), "w.scale": torch.zeros(0)}
    refused(put_together(document, tensors), "not empty are patched|expected torch.float32")


def test_a_description_over_the_cap_is_refused() -> None:
    data = with_description(PATCH, lambda document: document.update(tool="x" * 2**20))
    refused(data, "header of .* bytes; at most 1048576 are read")
