from rwsstore.training import (
    CONFIGURED_RECIPES,
    RECIPE_NAMES,
    RECIPE_OPTIONS,
    RECIPES,
    WEIGHT_OPTIONS,
    WEIGHT_RECIPES,
)


def test_what_recipes_take_is_listed_as_the_recipes_are() -> None:
    assert tuple(RECIPES) == RECIPE_NAMES
    assert {name: one.Options for name, one in WEIGHT_RECIPES.items()} == dict(WEIGHT_OPTIONS)
    assert {name: one.Options for name, one in CONFIGURED_RECIPES.items()} == dict(RECIPE_OPTIONS)
    for recipe in CONFIGURED_RECIPES.values():
        assert recipe.defaults == recipe.Options.training
