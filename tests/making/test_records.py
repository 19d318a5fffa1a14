"""What a training's record holds, and when two runs are the same one."""

from dataclasses import replace
from pathlib import Path

from rwsstore.making import delta_plan
from rwsstore.making.pipeline import recorded
from rwsstore.training import TrainingConfig
from tests.making.tiny import TRAIN, VALIDATION, fresh, options, recipes
from tests.training.tiny import pictures


def test_what_came_later_is_recorded_where_it_is_not_as_it_always_was() -> None:
    plain, other = (
        recorded("tiny", TrainingConfig(seed=3, optimizer=name), TRAIN, VALIDATION, {})
        for name in ("sgd", "rmsprop")
    )
    assert (plain.seed, plain.parameters["epochs"]) == (3, 15)
    assert not {"optimizer", "seed", "version"} & set(plain.parameters)
    assert other.parameters["optimizer"] == "rmsprop"


def test_images_are_recorded_by_number_and_content() -> None:
    first, other = pictures(6, seed=0), pictures(6, seed=1)
    found, same, swapped = (
        recorded("tiny", TrainingConfig(), *sets, {}).parameters
        for sets in ((first, other), (first, other), (other, first))
    )
    assert (found["training_images"], found["validation_images"]) == (6, 6)
    assert found == same
    assert found["images"] != swapped["images"]


def test_other_runs_have_other_files(tmp_path: Path) -> None:
    recipe = recipes()["corruption_resistant"]
    plan = delta_plan(fresh(), recipe, TRAIN, VALIDATION, options(), name="fog")
    others = plan, plan.revised(bits=4), replace(plan, clean=fresh(1)), replace(plan, name="snow")
    files = [other._state_file(tmp_path) for other in others]
    assert len(set(files)) == 4
    assert files[0] == plan._state_file(tmp_path)
    assert files[0] is not None
    assert files[0].name.startswith("fog-")
    assert files[0].suffix == ".safetensors"
