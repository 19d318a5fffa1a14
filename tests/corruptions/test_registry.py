import pytest
from torch import Tensor

from rwsstore.corruptions import CORRUPTIONS, GROUPS, Setting, corruption, parse_corruptions
from rwsstore.errors import ConfigError

BENCHMARK = {
    "noise": {"gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"},
    "blur": {"defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"},
    "weather": {"snow", "frost", "fog", "brightness", "spatter"},
    "digital": {"contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"},
}


def test_the_nineteen_of_the_benchmark_are_there() -> None:
    assert {group: set(names) for group, names in GROUPS.items()} == BENCHMARK
    assert len(CORRUPTIONS) == 19
    assert all(name == row.name and row.summary for name, row in CORRUPTIONS.items())


def test_the_registry_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        CORRUPTIONS["fog"] = CORRUPTIONS["snow"]  # type: ignore[index]  # that is the point


def test_names_groups_and_all_are_understood() -> None:
    assert parse_corruptions("all") == tuple(CORRUPTIONS)
    assert parse_corruptions("fog,snow") == ("fog", "snow")
    assert parse_corruptions(" weather ") == GROUPS["weather"]
    assert parse_corruptions("snow, noise,snow") == ("snow", *GROUPS["noise"])


def test_a_row_that_cannot_be_used_is_refused() -> None:
    def fog(images: Tensor, setting: Setting) -> Tensor:
        return images

    def mist(images: Tensor, setting: Setting) -> Tensor:
        return images

    with pytest.raises(ConfigError, match="already"):
        corruption("weather", "a second fog")(fog)
    for numbers in ((), ((1.0,), (2.0,))):
        with pytest.raises(ConfigError, match="five tuples"):
            corruption("weather", "no constants", numbers=numbers)(mist)
    assert "mist" not in CORRUPTIONS
