"""docs/understand/patch-format.md says what the code does."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from rwsstore.files.header import MAX_HEADER_BYTES, MAX_TENSORS
from rwsstore.making import KINDS
from rwsstore.patches import (
    MAX_PATCH_BYTES,
    MAX_PATCHES,
    AlphaRange,
    CardPoint,
    GoldenProbe,
    Patch,
    PatchMetadata,
    QuantizedTensor,
    RecordedRecipe,
    RobustnessCard,
    patched_tensor,
)
from rwsstore.patches.golden import TOLERANCE
from rwsstore.patches.metadata import MAX_PROBE_PIXELS, ModelTensor, Part

PAGE = (Path(__file__).parents[2] / "docs" / "understand" / "patch-format.md").read_text(
    encoding="utf-8"
)
EXAMPLE = PAGE.split("## An example")[1].split("\n## ")[0]


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)\n```", EXAMPLE, flags=re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def patch_of_the_page() -> Patch:
    scope: dict[str, Any] = {}
    exec(block("python"), scope)
    patch = scope["patch"]
    assert isinstance(patch, Patch)
    metadata = patch.metadata.revised(tool="rwsstore 0.1.0")
    return Patch.build(metadata, patch.tensors, patch.golden)


def rows() -> list[tuple[int, bytes, str]]:
    found = re.findall(r"^\| (\d+) \| `([0-9a-f ]+)` \| `(.+?)` \|", EXAMPLE, flags=re.MULTILINE)
    return [(int(offset), bytes.fromhex(data), entry) for offset, data, entry in found]


def test_the_dump_is_the_file() -> None:
    data = patch_of_the_page().to_bytes()
    tail = b"".join(piece for _, piece, _ in rows())
    header = block("header").encode()
    assert bytes.fromhex(block("hex")) + header.ljust(888) + tail == data
    assert len(header) == 882
    assert f"has {len(data)} bytes" in EXAMPLE


def test_the_digest_is_the_files() -> None:
    assert f"`{patch_of_the_page().digest}`" in EXAMPLE


def test_the_offsets_are_right() -> None:
    data = patch_of_the_page().to_bytes()
    assert [entry for _, _, entry in rows()] == ["b.f32", "w.scale", "w.q"]
    for offset, piece, _ in rows():
        assert data[offset : offset + len(piece)] == piece


def test_the_worked_numbers_are_right() -> None:
    weight = patch_of_the_page().tensors["w"]
    assert isinstance(weight, QuantizedTensor)
    assert weight.codes.flatten().tolist() == [3, -1, -3, 1]
    assert weight.scale.tolist() == [0.125, 0.25]
    patched = patched_tensor("w", torch.zeros(2, 2), [(weight, 0.5)])
    assert patched[0].tolist() == [0.1875, -0.0625]


def test_every_key_of_the_description_has_a_row() -> None:
    table = PAGE.split("## Description")[1].split("## Tensors")[0]
    cells = re.findall(r"^\| (`.+?`) \|", table, flags=re.MULTILINE)
    keys = [key for cell in cells for key in re.findall(r"`(\w+)`", cell)]
    assert keys == list(PatchMetadata.model_fields)


@pytest.mark.parametrize(
    "model", [ModelTensor, AlphaRange, RecordedRecipe, RobustnessCard, CardPoint, GoldenProbe, Part]
)
def test_the_keys_of_its_parts_are_named(model: type[BaseModel]) -> None:
    assert f"`{{{','.join(sorted(model.model_fields))}}}`" in PAGE


def test_every_kind_is_named() -> None:
    assert all(f"`{kind}`" in PAGE for kind in (*KINDS, "composed"))


def test_the_caps_are_those_of_the_code() -> None:
    assert MAX_PATCH_BYTES == 256 * 2**20
    assert "at most 256 MiB" in PAGE
    assert f"1 MiB ({MAX_HEADER_BYTES:,} bytes)" in PAGE
    assert f"at most\n  {MAX_TENSORS:,} tensors" in PAGE
    assert f"1 to {MAX_PATCHES:,} `parts`" in PAGE
    assert f"at most {MAX_PATCHES:,} are" in PAGE
    assert f"B·S² at most {MAX_PROBE_PIXELS:,}" in PAGE
    assert f"more than {TOLERANCE} · max(1" in PAGE
