"""Bad parameters and samples are refused, with what was found and what was expected."""

from typing import Any

import pytest
import torch
from PIL import Image

from rwsstore.corruptions import Corrupt, Random
from rwsstore.errors import ConfigError, RefusedError, TensorError, UnknownNameError
from tests.corruptions.pictures import smooth_pictures

BATCH = smooth_pictures(2)
FOG = Corrupt("fog", 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "fgo"}, "'fog'"),
        ({"name": "fog", "severity": 6}, "from 1 to 5"),
        ({"name": "fog", "severity": float("nan")}, "from 1 to 5"),
        ({"name": "fog", "seed": 1.5}, "seed is 1.5"),
        ({"name": "fog", "table": "cifar10"}, "severity table"),
        ({"name": "frost", "frost_overlays": []}, "frost_overlays is empty"),
    ],
)
def test_a_corruption_is_checked_when_it_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        Corrupt(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corruptions": "fog,fgo"}, "'fog'"),
        ({"corruptions": ["fog", "rain"]}, "unknown corruption 'rain'"),
        ({"corruptions": []}, "no corruption is named"),
        ({"corruptions": ["fog", "fog"]}, "name one twice"),
        ({"severities": []}, "no severity"),
        ({"severities": [1, 7]}, "from 1 to 5"),
        ({"weights": [1, 2]}, "2 weights for 19"),
        ({"corruptions": "fog,snow", "weights": [1, -1]}, "a weight is -1"),
        ({"corruptions": "fog,snow", "weights": [1, float("nan")]}, "a weight is nan"),
        ({"corruptions": "fog,snow", "weights": [1, True]}, "a weight is True"),
        ({"corruptions": "fog,snow", "weights": [0, 0]}, "all weights are 0"),
        ({"clean": 1.1}, "a share from 0 to 1"),
        ({"clean": float("nan")}, "a share from 0 to 1"),
        ({"seed": None}, "seed is None"),
        ({"table": "x"}, "severity table"),
    ],
)
def test_a_mixture_is_checked_when_it_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        Random(**options)


@pytest.mark.parametrize("sample", [(), ("a", 1), ({"label": 3},), (None,)])
def test_a_sample_without_an_image(sample: tuple[Any, ...]) -> None:
    with pytest.raises(TensorError, match="holds no image"):
        FOG(*sample)


@pytest.mark.parametrize("shape", [(32, 32), (1, 2, 3, 8, 8)])
def test_tensors_that_are_no_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError, match=r"expected \[C, H, W\] or \[B, C, H, W\]"):
        FOG(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16", "CMYK"])
def test_pictures_of_another_mode(mode: str) -> None:
    with pytest.raises(TensorError, match=rf"of mode {mode}; expected RGB or L"):
        FOG(Image.new(mode, (8, 8)))


def test_normalised_images() -> None:
    with pytest.raises(TensorError, match="undo any normalisation"):
        FOG(BATCH.float() / 128 - 1)
    with pytest.raises(TensorError, match="expected uint8"):
        FOG(BATCH.to(torch.int64))
    with pytest.raises(TensorError, match=r"\[0, 1\]"):
        FOG(torch.full((3, 8, 8), float("nan")))


def test_indices_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="1 indices for 2 images"):
        FOG(BATCH, indices=3)
    with pytest.raises(ConfigError, match="3 indices for 2 images"):
        FOG(BATCH, indices=torch.arange(3))
    picture = Image.new("RGB", (8, 8), (9, 9, 9))
    with pytest.raises(ConfigError, match="several images"):
        FOG(picture, picture, indices=[1])
    with pytest.raises(UnknownNameError):
        Random("nothing")
