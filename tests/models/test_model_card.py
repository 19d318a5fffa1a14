"""The card beside a checkpoint: what it offers, how it is kept, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from rwsstore.errors import FormatError, MismatchError, MissingFileError
from rwsstore.models import (
    FEWEST_IMAGES,
    LEAST_AGREEMENT,
    FormatAgreement,
    ModelCard,
    model_card_path,
    read_model_card,
    write_model_card,
)

WEIGHTS = "0123456789abcdef" * 4


def agreement(name: str = "bf16", top1: float = 99.9, **changes: Any) -> FormatAgreement:
    values: dict[str, Any] = {"images": 1000, "lowest_agreement": top1, "largest_difference": 0.1}
    return FormatAgreement(name=name, top1_agreement=top1, **{**values, **changes})


def card(*formats: FormatAgreement) -> ModelCard:
    return ModelCard(weights=WEIGHTS, dataset="digits", formats=formats or (agreement(),))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "clean.safetensors"


def test_offered_from_the_least_agreement_on() -> None:
    assert agreement(top1=LEAST_AGREEMENT).offered
    assert not agreement(top1=99.49).offered
    assert agreement(images=FEWEST_IMAGES, top1=100.0).offered
    assert not agreement(images=FEWEST_IMAGES - 1, top1=100.0).offered


def test_one_patch_set_that_disagrees_is_enough() -> None:
    found: dict[str, Any] = {"patch_sets": 3, "lowest_with": "snow"}
    assert agreement(lowest_agreement=99.5, **found).offered
    assert not agreement(lowest_agreement=99.4, **found).offered


def test_float32_is_always_offered() -> None:
    assert agreement("float32", 100.0, images=1, largest_difference=0.0).offered


def test_it_lies_beside_its_checkpoint(tmp_path: Path) -> None:
    assert model_card_path(tmp_path / "a.b.safetensors") == tmp_path / "a.b.card.json"
    assert model_card_path(Path("clean.pt")) == Path("clean.card.json")


def test_what_is_written_is_read(checkpoint: Path) -> None:
    broken = agreement("bf16_channels_last", 3.0, largest_difference=None)
    wanted = card(agreement("float32", 100.0), agreement(), broken)
    path = write_model_card(checkpoint, wanted)
    assert path == checkpoint.with_name("clean.card.json")
    assert read_model_card(checkpoint, weights=WEIGHTS) == wanted
    text = path.read_text()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) + "\n"
    write_model_card(checkpoint, card())
    assert read_model_card(checkpoint, weights=WEIGHTS) == card()
    assert [one.name for one in checkpoint.parent.iterdir()] == ["clean.card.json"]


def test_no_card(checkpoint: Path) -> None:
    with pytest.raises(MissingFileError, match=r"clean\.card\.json"):
        read_model_card(checkpoint, weights=WEIGHTS)


def test_a_card_of_other_weights(checkpoint: Path) -> None:
    write_model_card(checkpoint, card())
    with pytest.raises(MismatchError, match=r"of the weights 0123456789ab, .* has ffffffffffff"):
        read_model_card(checkpoint, weights="f" * 64)


def test_a_card_that_is_too_large(checkpoint: Path) -> None:
    write_model_card(checkpoint, card())
    with model_card_path(checkpoint).open("ab") as file:
        file.write(b" " * 2**20)
    with pytest.raises(FormatError, match="at most"):
        read_model_card(checkpoint, weights=WEIGHTS)


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        (("version",), 2, "version"),
        (("weights",), "0123", "weights"),
        (("weights",), WEIGHTS.upper(), "weights"),
        (("more",), 1, "more"),
        (("formats", 0, "images"), 0, r"formats\.0\.images"),
        (("formats", 0, "images"), True, r"formats\.0\.images"),
        (("formats", 0, "images"), "9", r"formats\.0\.images"),
        (("formats", 0, "top1_agreement"), 100.1, "top1_agreement"),
        (("formats", 0, "lowest_agreement"), -1, "lowest_agreement"),
        (("formats", 0, "lowest_agreement"), 99.95, "above"),
        (("formats", 0, "lowest_agreement"), 99.0, "without a patch set"),
        (("formats", 0, "largest_difference"), -0.1, "largest_difference"),
        (("formats", 0, "offered"), True, "offered"),
        (("formats",), {}, "formats"),
    ],
)
def test_a_damaged_card(
    checkpoint: Path, where: tuple[str | int, ...], value: object, told: str
) -> None:
    document = json.loads(card().to_json())
    *way, last = where
    place = document
    for step in way:
        place = place[step]
    place[last] = value
    model_card_path(checkpoint).write_text(json.dumps(document))
    with pytest.raises(FormatError, match=told):
        read_model_card(checkpoint, weights=WEIGHTS)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"formats":[NaN]}'])
def test_what_is_no_card(checkpoint: Path, data: bytes) -> None:
    model_card_path(checkpoint).write_bytes(data)
    with pytest.raises(FormatError, match="is no model card"):
        read_model_card(checkpoint, weights=WEIGHTS)


def test_a_format_stands_in_it_once() -> None:
    with pytest.raises(ValidationError, match="twice"):
        card(agreement(), agreement())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(ValidationError):
        agreement(largest_difference=value)


@given(st.integers(1, 10**6), st.data())
def test_half_a_percent_of_any_number_of_images_is_too_many(
    images: int, data: st.DataObject
) -> None:
    agreeing = data.draw(st.integers(0, images))
    found = agreement(images=images, top1=100 * agreeing / images)
    assert found.offered == (images >= FEWEST_IMAGES and 1000 * agreeing >= 995 * images)
