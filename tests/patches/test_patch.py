import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from rwsstore.canonical import sha256_hex
from rwsstore.errors import ConfigError, FormatError, MissingFileError, TensorError
from rwsstore.patches import (
    MAX_PATCH_BYTES,
    AlphaRange,
    CardPoint,
    GoldenProbe,
    Patch,
    QuantizedTensor,
    RobustnessCard,
    compose,
    make_patch,
)
from rwsstore.patches.golden import Golden
from rwsstore.patches.quantization import requantize
from tests.patches.factory import make_deltas, make_identity, make_test_patch

WEIGHT, BIAS = "network.conv1.weight", "network.conv1.bias"
PROBE = GoldenProbe(seed=0, count=2, size=8)
GOLDEN = Golden(torch.zeros(2, 3), torch.ones(2, 3))
CARD = RobustnessCard(
    images=100,
    points=tuple(
        CardPoint(alpha=alpha, ta=ta, ra=60.0)
        for alpha, ta in ((0.0, 90.0), (1.0, 88.0), (2.0, 80.0))
    ),
)


def evidence(patch: Patch, **changes: Any) -> Patch:
    return patch.with_evidence(**{"card": CARD, "golden": GOLDEN, "probe": PROBE, **changes})


def test_the_digest_is_of_the_files_bytes(tmp_path: Path) -> None:
    patch = make_test_patch()
    patch.to_file(tmp_path / "fog.safetensors")
    data = (tmp_path / "fog.safetensors").read_bytes()
    assert data == patch.to_bytes()
    assert patch.digest == sha256_hex(data)
    assert patch.file_bytes == len(data)
    assert Patch.from_file(tmp_path / "fog.safetensors").digest == patch.digest


def test_name_and_parts() -> None:
    patch = make_test_patch("gaussian_noise")
    assert patch.name == "gaussian_noise"
    assert patch.parts == ()


@pytest.mark.parametrize(("bits", "expected"), [(32, 448), (16, 248), (8, 140), (3, 73), (2, 59)])
def test_payload_bytes(bits: int, expected: int) -> None:
    """108 weights in 4 channels, and 4 biases in float32."""
    patch = make_test_patch(bits=bits)
    assert patch.payload_bytes == expected
    assert evidence(patch).payload_bytes == expected
    assert patch.file_bytes > expected


def test_it_cannot_be_changed() -> None:
    patch = make_test_patch()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(patch, "data", b"")  # noqa: B010 - an assignment is refused by mypy already
    tensors: Any = patch.tensors
    with pytest.raises(TypeError, match="does not support item assignment"):
        tensors["other"] = patch.tensors[WEIGHT]
    changing = bytearray(patch.to_bytes())
    other = Patch.from_bytes(changing)  # type: ignore[arg-type]  # on purpose
    changing[-1] ^= 1
    assert other.to_bytes() == patch.to_bytes()


def test_at_bits_quantizes_again() -> None:
    patch = make_test_patch(bits=32)
    small = patch.at_bits(4)
    assert small.metadata.bits == 4
    assert small.metadata.tensors == {WEIGHT: 4, BIAS: 32}
    assert small.to_bytes() == make_test_patch(bits=4).to_bytes()
    expected = requantize(patch.tensors[WEIGHT], 4)
    found = small.tensors[WEIGHT]
    assert isinstance(expected, QuantizedTensor)
    assert isinstance(found, QuantizedTensor)
    assert torch.equal(found.codes, expected.codes)
    torch.testing.assert_close(
        small.tensors[BIAS].delta(1.0), make_deltas()[BIAS].float(), rtol=0, atol=0
    )


def test_at_bits_drops_what_was_measured_at_the_stored_bits() -> None:
    patch = evidence(make_test_patch(bits=8))
    assert patch.at_bits(8) is patch
    small = patch.at_bits(3)
    assert small.golden is None
    assert small.metadata.golden is None
    assert small.metadata.card is None
    assert small.metadata.corruption == "fog"


@pytest.mark.parametrize("bits", [16, 32])
def test_at_bits_goes_down_only(bits: int) -> None:
    with pytest.raises(ConfigError, match=f"{bits} bits asked of a patch stored at 8"):
        make_test_patch(bits=8).at_bits(bits)
    biases = make_patch(
        kind="rws",
        name="biases",
        model=make_identity(),
        layers=(),
        deltas={BIAS: make_deltas()[BIAS]},
        bits=8,
    )
    with pytest.raises(ConfigError, match=f"{bits} bits asked of a patch stored at 8"):
        biases.at_bits(bits)


def test_at_bits_refuses_other_widths_and_composed_patches() -> None:
    with pytest.raises(ConfigError, match="bits is 5"):
        make_test_patch().at_bits(5)
    with pytest.raises(ConfigError, match="'both' is composed: quantize its parts"):
        compose("both", [(make_test_patch(), 1.0)]).at_bits(4)


def test_with_evidence_adds_it_to_another_patch() -> None:
    plain = make_test_patch()
    patch = evidence(plain)
    assert plain.golden is None
    assert plain.metadata.card is None
    assert patch.metadata.card == CARD
    assert patch.metadata.golden == PROBE
    assert patch.golden is not None
    assert torch.equal(patch.golden.patched, GOLDEN.patched)
    assert torch.equal(patch.tensors[WEIGHT].delta(1.0), plain.tensors[WEIGHT].delta(1.0))
    assert patch.digest != plain.digest
    assert evidence(plain, card=None).metadata.card is None


def test_alpha_for_reads_the_card() -> None:
    patch = evidence(make_test_patch())
    assert patch.alpha_for(1.0) == pytest.approx(0.5)
    assert patch.alpha_for(0.0) == 0.0
    assert patch.alpha_for(50.0) == 1.0  # the recommended one


def test_alpha_for_keeps_to_the_patchs_range() -> None:
    bounds = AlphaRange(recommended=1.5, minimum=0.5, maximum=2.0)
    patch = evidence(make_test_patch(alpha=bounds))
    assert patch.alpha_for(6.0) == pytest.approx(1.5)
    assert patch.alpha_for(1.0) == pytest.approx(0.5)
    with pytest.raises(ConfigError, match=r"no alpha of patch 'fog' from 0\.5 up costs at most 0"):
        patch.alpha_for(0.9)


def test_alpha_for_needs_a_card_and_a_budget() -> None:
    with pytest.raises(ConfigError, match="'fog' carries no robustness card"):
        make_test_patch().alpha_for(1.0)
    for budget in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="ta_loss"):
            evidence(make_test_patch()).alpha_for(budget)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"golden": Golden(torch.zeros(3, 3), torch.ones(3, 3))}, FormatError, "probe batch"),
        ({"golden": Golden(torch.zeros(2, 3), torch.ones(2, 4))}, FormatError, "probe batch"),
        ({"golden": Golden(torch.zeros(2), torch.ones(2))}, FormatError, "float32 matrix"),
        ({"golden": Golden(torch.zeros(2, 0), torch.ones(2, 0))}, FormatError, "float32 matrix"),
        (
            {"golden": Golden(torch.zeros(2, 3).double(), torch.ones(2, 3))},
            FormatError,
            "'golden.clean' is not a float32 matrix",
        ),
        (
            {"golden": Golden(torch.zeros(2, 3), torch.full((2, 3), torch.nan))},
            TensorError,
            "'golden.patched' holds NaN",
        ),
        ({"probe": None}, FormatError, "'golden.clean' is not in its description"),
        ({"golden": None}, FormatError, "'golden.clean' and 'golden.patched' are promised"),
        ({"card": "good"}, ConfigError, "card: Input should be"),
        ({"probe": (0, 2, 8)}, ConfigError, "golden: Input should be"),
    ],
)
def test_evidence_that_is_refused(
    changes: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        evidence(make_test_patch(), **changes)


def test_composed_patches_take_no_golden_logits() -> None:
    with pytest.raises(ConfigError, match="neither tensors, bits nor golden logits"):
        evidence(compose("both", [(make_test_patch(), 1.0)]))


def test_build_checks_its_pieces() -> None:
    patch = make_test_patch()
    with pytest.raises(FormatError, match=r"'network.conv1.bias.f32' is missing"):
        Patch.build(patch.metadata, {WEIGHT: patch.tensors[WEIGHT]}, None)
    weight = patch.tensors[WEIGHT]
    assert isinstance(weight, QuantizedTensor)
    codes = weight.codes.clone()
    codes[0, 0, 0, 0] = -128
    wrong = {**patch.tensors, WEIGHT: QuantizedTensor(codes, weight.scale, 8)}
    with pytest.raises(TensorError, match=r"'network.conv1.weight.q': a code is out of the range"):
        Patch.build(patch.metadata, wrong, None)


def test_files_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="patch: no file"):
        Patch.from_file(tmp_path / "none.safetensors")
    with pytest.raises(FormatError, match="is a folder"):
        Patch.from_file(tmp_path)
    huge = tmp_path / "huge.safetensors"
    with huge.open("wb") as stream:
        stream.truncate(MAX_PATCH_BYTES + 1)
    with pytest.raises(FormatError, match=f"at most {MAX_PATCH_BYTES} are read"):
        Patch.from_file(huge)
