"""Files of every past version of the format stay readable, and mean what they meant."""

from pathlib import Path

import pytest
import torch

from rwsstore.canonical import sha256_hex
from rwsstore.patches import Patch, PatchSet, QuantizedTensor, patched_tensor
from rwsstore.patches.quantization import RawTensor
from tests.patches.make_golden import FOLDER, main, make

DIGESTS = {
    "v1_8bit.safetensors": "d17b200dc72a2c886b19f03823bba1f45f089540408f7e2a009f970689ed3cb5",
    "v1_4bit.safetensors": "ce1b33e8dfdaa7e5454a37aa209bb8536e8bf3e2252bafa5f9380413a5120a3c",
    "v1_3bit.safetensors": "85d1a96abae1a6705bdd9eec571561a433868e8afa123c2f82465344427bd060",
    "v1_32bit.safetensors": "e4980c6b30a9f3d5a97062a5baaeadb7c8822c1ab82003627e5137b22369ced3",
    "v1_composed.safetensors": "ff29658accd3b160ff134b5bf86c28eba198b3567aa3d83366e88a7563efdbd6",
}


def read(name: str) -> Patch:
    return Patch.from_file(FOLDER / name)


def quantized(name: str, tensor: str) -> QuantizedTensor:
    payload = read(name).tensors[tensor]
    assert isinstance(payload, QuantizedTensor)
    return payload


def test_every_file_has_a_digest_here() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(DIGESTS)


@pytest.mark.parametrize(("name", "digest"), DIGESTS.items())
def test_they_are_read_to_their_digests(name: str, digest: str) -> None:
    assert sha256_hex((FOLDER / name).read_bytes()) == digest
    assert read(name).digest == digest


@pytest.mark.parametrize("name", DIGESTS)
def test_what_was_read_is_written_as_the_same_bytes(name: str) -> None:
    patch = read(name)
    again = Patch.build(patch.metadata, patch.tensors, patch.golden)
    assert again.to_bytes() == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("name", [name for name in DIGESTS if "composed" not in name])
def test_made_anew_they_are_the_same_bytes(name: str) -> None:
    made = make()[name]
    metadata = made.metadata.revised(tool=read(name).metadata.tool)
    assert Patch.build(metadata, made.tensors, made.golden).digest == DIGESTS[name]


def test_files_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    (tmp_path / "v1_8bit.safetensors").write_bytes(b"kept")
    main(tmp_path)
    assert (tmp_path / "v1_8bit.safetensors").read_bytes() == b"kept"
    assert {path.name for path in tmp_path.iterdir()} == set(DIGESTS)


def test_eight_bits() -> None:
    patch = read("v1_8bit.safetensors")
    weight, bias = quantized("v1_8bit.safetensors", "conv.weight"), patch.tensors["conv.bias"]
    assert weight.codes.flatten().tolist() == [
        83, -29, -91, -58, -84, 16, 125, 127, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, -107, -73, 28, 104,
        -101, 127, 119, -12, 0,
    ]  # fmt: skip
    assert weight.scale.tolist() == [2.0**-10, 0.0, float.fromhex("0x1.ab56aep-11")]
    assert isinstance(bias, RawTensor)
    assert bias.values.tolist() == [0.123046875, -0.064453125, -0.0341796875]
    assert quantized("v1_8bit.safetensors", "fc.weight").codes.tolist() == [
        [-99, 127, 57], [-127, 100, 60],
    ]  # fmt: skip


def test_four_bits() -> None:
    weight = quantized("v1_4bit.safetensors", "conv.weight")
    assert weight.codes.flatten().tolist() == [
        -4, -2, 6, -3, 7, -4, -7, -1, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, -7, -7, 2, -6, 1, 6, -1, -1,
    ]  # fmt: skip
    first, last = float.fromhex("0x1.224924p-6"), float.fromhex("0x1.db6db6p-7")
    assert weight.scale.tolist() == [first, 0.0, last]


def test_three_bits() -> None:
    weight = quantized("v1_3bit.safetensors", "conv.weight")
    assert weight.codes.flatten().tolist() == [
        3, -1, -2, 2, -3, -1, 3, -2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -2, -3, -2, -1, 2, -3, 3, 3, -3,
    ]  # fmt: skip
    first, last = float.fromhex("0x1.52aaaap-5"), float.fromhex("0x1.3d5556p-5")
    assert weight.scale.tolist() == [first, 0.0, last]


def test_32_bits() -> None:
    weight = read("v1_32bit.safetensors").tensors["conv.weight"]
    assert isinstance(weight, RawTensor)
    assert weight.shape == (3, 1, 3, 3)
    assert weight.values.flatten()[:6].tolist() == [
        -0.1171875, -0.005859375, 0.02734375, -0.05078125, 0.064453125, 0.04296875,
    ]  # fmt: skip


def test_the_description() -> None:
    metadata = read("v1_8bit.safetensors").metadata
    assert metadata.name == "fog"
    assert (metadata.corruption, metadata.severity) == ("fog", 5)
    assert metadata.alpha.maximum == 1.5
    assert metadata.recipe is not None
    assert metadata.recipe.parameters == {"epochs": 4, "rate": 0.02, "flip": True, "x": "é"}
    assert metadata.anchor == "early"
    assert metadata.projected
    assert metadata.tool == "rwsstore 0.1.0"
    blur = read("v1_4bit.safetensors").metadata
    assert (blur.attack, blur.budget) == ("pgd", 0.03)


def test_card_and_golden_logits() -> None:
    patch = read("v1_8bit.safetensors")
    assert patch.alpha_for(1.0) == pytest.approx(0.5 + 0.5 / 3)
    assert patch.golden is not None
    assert patch.golden.clean.shape == (2, 3)
    assert not torch.equal(patch.golden.clean, patch.golden.patched)


def test_the_composed_one_gives_these_weights() -> None:
    """The sum itself, worked out by exact arithmetic and rounded where the format rounds."""
    patches = {DIGESTS[name]: read(name) for name in DIGESTS}
    chosen = PatchSet.of([(read("v1_composed.safetensors"), 1.0)])
    fog, blur = DIGESTS["v1_8bit.safetensors"], DIGESTS["v1_4bit.safetensors"]
    assert list(chosen) == [(blur, 0.25), (fog, 0.5)]
    parts = [(patches[digest].tensors["conv.bias"], alpha) for digest, alpha in chosen]
    found = patched_tensor("conv.bias", torch.zeros(3), parts)
    expected = [
        0.25 * b + 0.5 * f
        for b, f in zip(
            (0.080078125, 0.0302734375, -0.0078125),
            (0.123046875, -0.064453125, -0.0341796875),
            strict=True,
        )
    ]
    assert found.tolist() == expected
