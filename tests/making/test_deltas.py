"""From a tiny clean model to a patch against what its kind is against."""

from pathlib import Path

import pytest
import torch

from rwsstore.errors import ConfigError
from rwsstore.making import DeltaOptions, delta_plan, extract_delta
from rwsstore.making.hazards import hazard_for
from rwsstore.making.pipeline import recorded
from rwsstore.measure import accuracy
from rwsstore.models import ordered_layers
from rwsstore.patches import Patch, RecordedRecipe, check_golden, identify, probe_images
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.training import CorruptionResistantRecipe, WeightRecipe, derive_seed, fit
from tests.making.tiny import TRAIN, VALIDATION, clean_model, options, recipes
from tests.training.tiny import config

KINDS = ["corruption_resistant", "hessian_aware", "selective", "clat"]


def extract(
    recipe: WeightRecipe | str = "corruption_resistant",
    wanted: DeltaOptions | None = None,
    *,
    name: str | None = None,
    state_folder: Path | None = None,
) -> Patch:
    chosen = recipes()[recipe] if isinstance(recipe, str) else recipe
    return extract_delta(
        clean_model(), chosen, TRAIN, VALIDATION, wanted or options(),
        name=name, state_folder=state_folder,
    )  # fmt: skip


def record(recipe: WeightRecipe, wanted: DeltaOptions) -> RecordedRecipe:
    return delta_plan(clean_model(), recipe, TRAIN, VALIDATION, wanted).record


def resistant(**settings: object) -> WeightRecipe:
    return CorruptionResistantRecipe.configured(settings)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_a_patch_that_loads(kind: str) -> None:
    clean, before = clean_model(), identify(clean_model().state_dict())
    patch = extract(kind)
    found, hazard = patch.metadata, hazard_for(recipes()[kind], options())
    assert (found.kind, found.name, found.bits, found.dataset) == (kind, kind, 8, "tiny")
    assert (found.attack, found.budget) == (hazard.attack, hazard.budget)
    assert (found.corruption, found.anchor, found.projected) == (None, None, False)
    assert found.recipe == record(recipes()[kind], options())
    assert found.clean_weights == before.clean_weights
    live = LiveModel(clean, PatchBag([Patch.from_bytes(patch.to_bytes())]))
    assert live.apply(kind).patched == tuple(sorted(patch.tensors))
    assert identify(clean.state_dict()) == before


def test_at_32_bits_clean_and_patch_are_the_trained_model() -> None:
    clean, wanted = clean_model(), options(bits=32)
    assert wanted.training is not None
    recipe = resistant(epsilon=0.25)
    trained = fit(clean, recipe, TRAIN, VALIDATION, wanted.training).model.state_dict()
    patch = extract(recipe, wanted)
    state = LiveModel(clean, PatchBag([patch])).variant({patch.name: 1.0}).state()
    assert set(patch.tensors) == {name for name, _ in clean.named_parameters()}
    for name, tensor in trained.items():
        assert torch.allclose(state[name], tensor, rtol=1e-6, atol=1e-7), name


def test_only_the_chosen_layers_are_touched_deep_ones_too() -> None:
    patch = extract(resistant(layers=["fc", "conv1"]))
    assert patch.metadata.layers == ("conv1", "fc")  # in forward order
    owned = {layer.name: set(layer.parameters) for layer in ordered_layers(clean_model())}
    assert set(patch.tensors) == owned["conv1"] | owned["fc"]


def test_what_did_not_change_at_all_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = recipes()["selective"]
    monkeypatch.setattr(type(chosen), "active", lambda self, model: frozenset({"fc.bias"}))
    patch = extract(chosen)
    assert set(patch.tensors) == {"fc.bias"}
    assert patch.metadata.layers == ("fc",)


def test_a_training_that_changed_nothing_gives_no_patch() -> None:
    tiny = options(training={**options().training.model_dump(), "learning_rate": 1e-30})  # type: ignore[union-attr]  # options() has one
    with pytest.raises(ConfigError, match="changed no weight"):
        extract(resistant(), tiny)


def test_the_card_is_measured_under_the_hazard() -> None:
    clean, recipe = clean_model(), recipes()["corruption_resistant"]
    training = config(2, learning_rate=0.05).model_dump()
    wanted = options(alphas=(1.0, 0.25, 1.0), card_images=15, card_budget=0.4, training=training)
    patch = extract(recipe, wanted)
    card = patch.metadata.card
    assert card is not None
    assert patch.metadata.budget == 0.4
    assert [point.alpha for point in card.points] == [0.0, 0.25, 1.0]
    assert card.images == 15
    images, hazard = VALIDATION.limit(15, 0), hazard_for(recipe, wanted)
    live = LiveModel(clean, PatchBag([patch]))
    for point in card.points:
        model = live.variant({patch.name: point.alpha})
        assert point.ta == accuracy(model, images.images, images.labels)
        assert point.ra == hazard.on(images, derive_seed(0, "card"))(model.module)
    assert card.points[0].ta > card.points[0].ra
    assert card.points[-1].ra > card.points[0].ra


def test_golden_logits_are_recorded() -> None:
    patch = extract()
    probe = patch.metadata.golden
    assert patch.golden is not None
    assert probe is not None
    live = LiveModel(clean_model(), PatchBag([patch]))
    models = live.variant({}), live.variant({patch.name: None})
    check_golden(patch.golden, *models, probe_images(probe.seed, probe.count, probe.size))


def test_the_same_extraction_gives_the_same_bytes_and_the_name_may_be_chosen(
    tmp_path: Path,
) -> None:
    assert extract().digest == extract(state_folder=tmp_path / "state").digest
    assert extract(name="hard").name == "hard"


def test_without_a_training_the_recipes_own_is_recorded() -> None:
    recipe = recipes()["hessian_aware"]
    parameters = record(recipe, DeltaOptions()).parameters
    assert (parameters["epochs"], parameters["learning_rate"]) == (1, 0.0075)
    assert (parameters["set.trace_layers"], parameters["set.strength"]) == (1, 0.001)
    assert parameters["card.flips"] == 64
    assert "set.layers" not in parameters


def test_lists_are_recorded_as_text_and_long_ones_as_a_hash() -> None:
    few = record(resistant(layers=["conv1", "fc"]), options())
    assert few.parameters["set.layers"] == '["conv1","fc"]'
    names = [f"layer{number}" for number in range(1000)]
    many = recorded("tiny", config(1), TRAIN, VALIDATION, {"set.layers": names})
    text = many.parameters["set.layers"]
    assert isinstance(text, str)
    assert text.startswith("sha256:")
