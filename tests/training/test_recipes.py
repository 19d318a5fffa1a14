import pytest
import torch

from rwsstore.corruptions import CORRUPTIONS, corrupt
from rwsstore.errors import ConfigError
from rwsstore.models import shallowest
from rwsstore.training import (
    CONFIGURED_RECIPES,
    RECIPES,
    WEIGHT_RECIPES,
    AugmentedRecipe,
    CleanRecipe,
    Recipe,
    RobustRecipe,
)
from tests.training.tiny import classifier, pictures, two_convs

IMAGES = pictures(24, size=16).images
INDICES = torch.arange(24)


def test_every_recipe_stands_under_its_own_name() -> None:
    assert {"clean", "robust", "augmented", *CONFIGURED_RECIPES} == set(RECIPES)
    others = {"sharpness_aware", "pgd_at", "fast_at", "trades"}
    assert {*others, *WEIGHT_RECIPES} == set(CONFIGURED_RECIPES)
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    assert all(issubclass(recipe, Recipe) for recipe in RECIPES.values())


def test_clean_shows_images_as_they_are_and_trains_all() -> None:
    assert torch.equal(CleanRecipe().show(IMAGES, INDICES, 0), IMAGES)
    model = two_convs()
    assert CleanRecipe().trainable(model) == {name for name, _ in model.named_parameters()}
    assert not CleanRecipe().freeze_batchnorm


def test_robust_shows_its_corruption_drawn_by_seed_and_index() -> None:
    recipe = RobustRecipe("gaussian_noise", 3)
    shown = recipe.show(IMAGES, INDICES + 100, 5)
    wanted = corrupt(IMAGES, "gaussian_noise", 3, seed=5, indices=INDICES + 100)
    assert torch.equal(shown, wanted)
    assert not torch.equal(shown, recipe.show(IMAGES, INDICES + 100, 6))


@pytest.mark.parametrize("network", ["vgg16", "resnet18"])
@pytest.mark.parametrize("layers", [1, 3])
def test_robust_trains_the_shallowest_layers(network: str, layers: int) -> None:
    model = classifier(network, folded=True)
    wanted = {name for layer in shallowest(model, layers) for name in layer.parameters}
    assert RobustRecipe("fog", layers=layers).trainable(model) == wanted


def test_robust_in_full_trains_all() -> None:
    model = two_convs()
    found = RobustRecipe("fog", layers=None).trainable(model)
    assert found == {name for name, _ in model.named_parameters()}


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="shallowest 9"):
        RobustRecipe("fog", layers=9).trainable(two_convs())


def test_augmented_draws_for_each_image_whatever_its_batch() -> None:
    recipe = AugmentedRecipe()
    whole = recipe.show(IMAGES, INDICES, 7)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    for part in torch.split(order, 5):
        assert torch.equal(recipe.show(IMAGES[part], INDICES[part], 7), whole[part])


def test_augmented_shows_every_corruption_and_clean_images() -> None:
    names = ("brightness", "contrast")
    recipe = AugmentedRecipe(names, severity=4)
    shown = recipe.show(IMAGES, INDICES, 3)
    made = [corrupt(IMAGES, name, 4, seed=3, indices=INDICES) for name in names]
    drawn = [
        [torch.equal(image, one[i]) for one in (*made, IMAGES)] for i, image in enumerate(shown)
    ]
    assert all(sum(row) == 1 for row in drawn)
    assert all(any(row[kind] for row in drawn) for kind in range(3))


def test_augmented_takes_all_corruptions_by_default_and_draws_anew_each_epoch() -> None:
    recipe = AugmentedRecipe()
    assert recipe.corruptions == tuple(CORRUPTIONS)
    assert recipe.severity == 5
    assert not torch.equal(recipe.show(IMAGES, INDICES, 0), recipe.show(IMAGES, INDICES, 1))


def test_no_recipe_changes_the_images_it_is_given() -> None:
    before = IMAGES.clone()
    for recipe in (CleanRecipe(), RobustRecipe("fog"), AugmentedRecipe()):
        recipe.show(IMAGES, INDICES, 0)
    assert torch.equal(IMAGES, before)
