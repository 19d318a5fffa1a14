"""What is refused, before anything is trained."""

from typing import ClassVar

import pytest
from pydantic import ValidationError

from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.making import DeltaOptions, extract_delta, publish_delta
from rwsstore.making.hazards import hazard_for
from rwsstore.patches import Kind
from rwsstore.store import Store
from rwsstore.training import CorruptionResistantRecipe, HessianAwareRecipe, WeightRecipe
from tests.making.tiny import TRAIN, VALIDATION, clean_model, options, recipes
from tests.training.tiny import pictures


@pytest.fixture(autouse=True)
def _no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rwsstore.making.pipeline.fit", None)


class Strange(WeightRecipe):
    """Of a kind without a hazard."""

    name = "strange"
    kind: ClassVar[Kind] = "strange"


class OtherSettings(WeightRecipe):
    """Of a known kind, but its settings do not say how strong the hazard is."""

    name = "other"
    kind: ClassVar[Kind] = "corruption_resistant"


@pytest.mark.parametrize(
    "fields",
    [
        {"bits": 5}, {"alphas": ()}, {"alphas": (0.0,)}, {"alphas": (3.0,)}, {"card_images": 0},
        {"card_flips": 0}, {"card_budget": 0.0}, {"card_budget": float("inf")}, {"colour": 1},
        {"training": {"epochs": 0}},
    ],
    ids=str,
)  # fmt: skip
def test_options_out_of_range(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DeltaOptions.model_validate(fields)


def test_bits_have_no_budget() -> None:
    with pytest.raises(ConfigError, match="card_budget is for other hazards"):
        hazard_for(HessianAwareRecipe(), options(card_budget=2.0))


@pytest.mark.parametrize("kind", ["selective", "clat"])
def test_attacks_have_at_most_the_whole_range(kind: str) -> None:
    with pytest.raises(ConfigError, match="1"):
        hazard_for(recipes()[kind], options(card_budget=2.0))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Strange(), "makes patches of kind strange, and no hazard is known"),
        (OtherSettings(), "RecipeOptions"),
    ],
)
def test_recipes_without_a_hazard(recipe: WeightRecipe, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        extract_delta(clean_model(), recipe, TRAIN, VALIDATION, options())


def test_images_too_large_for_golden_logits() -> None:
    huge = pictures(3, size=1030)
    with pytest.raises(ConfigError, match="no golden logits for images of 1030 pixels"):
        extract(huge)


def extract(validation: ImageSet) -> None:
    extract_delta(clean_model(), CorruptionResistantRecipe(), TRAIN, validation, options())


def test_a_name_that_is_not_allowed(store: Store) -> None:
    for name in ("No Name", "abcdef12", "none"):
        with pytest.raises(ConfigError):
            publish_delta(
                clean_model(), CorruptionResistantRecipe(), TRAIN, VALIDATION, options(), store,
                name=name,
            )  # fmt: skip
    assert not store.root.exists()
