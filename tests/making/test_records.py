"""What a training's record holds, and when two runs are the same one."""

from rwsstore.making.evidence import data_parameters, run_file, training_parameters
from rwsstore.training import TrainingConfig
from tests.training.tiny import pictures, two_convs


def test_what_came_later_is_recorded_where_it_is_not_as_it_always_was() -> None:
    plain = training_parameters(TrainingConfig(seed=3))
    assert plain["epochs"] == 15
    assert not {"optimizer", "seed", "version"} & set(plain)
    assert training_parameters(TrainingConfig(optimizer="rmsprop"))["optimizer"] == "rmsprop"


def test_images_are_recorded_by_number_and_content() -> None:
    first, other = pictures(6, seed=0), pictures(6, seed=1)
    found = data_parameters(first, other)
    assert (found["training_images"], found["validation_images"]) == (6, 6)
    assert found == data_parameters(first, other)
    assert found["images"] != data_parameters(other, first)["images"]


def test_other_runs_have_other_files() -> None:
    names = [
        run_file(label, two_convs(seed), parts)
        for label, seed, parts in (
            ("fog", 0, {"bits": 8}), ("fog", 0, {"bits": 4}), ("fog", 1, {"bits": 8}),
            ("snow", 0, {"bits": 8}),
        )
    ]  # fmt: skip
    assert len(set(names)) == 4
    assert names[0] == run_file("fog", two_convs(), {"bits": 8})
    assert names[0].startswith("fog-")
    assert names[0].endswith(".safetensors")
