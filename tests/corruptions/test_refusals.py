"""Bad input is refused, with what was found and what was expected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rwsstore.corruptions import (
    corrupt,
    frost_source,
    load_frost_overlays,
    parse_corruptions,
    severity_table,
)
from rwsstore.errors import ConfigError, DataError, MissingFileError, TensorError, UnknownNameError
from tests.corruptions.pictures import smooth_pictures

IMAGES = smooth_pictures(2)


def test_unknown_corruption() -> None:
    with pytest.raises(UnknownNameError, match=r"corruption 'gausian_noise'.*'gaussian_noise'\?"):
        corrupt(IMAGES, "gausian_noise", 1, seed=0)


def test_unknown_table() -> None:
    with pytest.raises(UnknownNameError, match="severity table 'cifar10'"):
        corrupt(IMAGES, "fog", 1, seed=0, table="cifar10")
    with pytest.raises(UnknownNameError, match="severity table"):
        severity_table("")


@pytest.mark.parametrize("text", ["fgo", "fog,fgo", "rain"])
def test_unknown_entry_in_a_list(text: str) -> None:
    with pytest.raises(UnknownNameError):
        parse_corruptions(text)


@pytest.mark.parametrize("text", ["", " ", ",,"])
def test_empty_list(text: str) -> None:
    with pytest.raises(ConfigError, match="no corruption is named"):
        parse_corruptions(text)


@pytest.mark.parametrize(
    "severity", [0, 6, -1, 0.99, 5.01, float("nan"), float("inf"), True, "3", 2j, None]
)
def test_severity_that_is_none(severity: Any) -> None:
    with pytest.raises(ConfigError, match=r"severity is .*from 1 to 5"):
        corrupt(IMAGES, "fog", severity, seed=0)


@pytest.mark.parametrize("seed", [1.0, True, "1", None])
def test_seed_that_is_no_integer(seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed is"):
        corrupt(IMAGES, "fog", 1, seed=seed)


@pytest.mark.parametrize(
    "shape", [(3, 8, 8), (2, 2, 8, 8), (2, 8, 8, 3), (1, 3, 0, 8), (1, 3, 8, 0)]
)
def test_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError, match=r"shape \[.*expected \[B, 3, H, W\]"):
        corrupt(torch.zeros(shape), "fog", 1, seed=0)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_dtypes(dtype: torch.dtype) -> None:
    with pytest.raises(TensorError, match="expected uint8, or floats"):
        corrupt(torch.zeros(1, 3, 8, 8, dtype=dtype), "fog", 1, seed=0)


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, float("nan"), float("inf"), -float("inf")])
def test_floats_out_of_range(value: float) -> None:
    images = torch.full((2, 3, 8, 8), 0.5)
    images[1, 2, 3, 4] = value
    with pytest.raises(TensorError, match=r"\[0, 1\]"):
        corrupt(images, "fog", 1, seed=0)


@pytest.mark.parametrize("indices", [[0], [0, 1, 2], torch.tensor([1]), []])
def test_a_wrong_number_of_indices(indices: Tensor | Sequence[int]) -> None:
    with pytest.raises(ConfigError, match="indices for 2 images"):
        corrupt(IMAGES, "fog", 1, seed=0, indices=indices)


def test_indices_of_another_shape() -> None:
    with pytest.raises(TensorError, match=r"indices have the shape \[2, 1\]; expected \[2\]"):
        corrupt(IMAGES, "fog", 1, seed=0, indices=torch.tensor([[0], [1]]))


@pytest.mark.parametrize(
    "indices",
    [[0, 1.5], [0, True], ["0", "1"], torch.tensor([0.0, 1.0]), torch.tensor([True, False])],
)
def test_indices_that_are_no_integers(indices: Any) -> None:
    with pytest.raises(ConfigError, match="an index is"):
        corrupt(IMAGES, "fog", 1, seed=0, indices=indices)


def test_overlays_of_another_kind() -> None:
    with pytest.raises(ConfigError, match="frost_overlays is empty"):
        corrupt(IMAGES, "frost", 1, seed=0, frost_overlays=[])
    for overlay in (torch.zeros(3, 9, 9), torch.zeros(9, 9, 3, dtype=torch.uint8)):
        with pytest.raises(TensorError, match=r"expected uint8 \[3, H, W\]"):
            corrupt(IMAGES, "frost", 1, seed=0, frost_overlays=[overlay])


def test_overlay_folders(tmp_path: Path) -> None:
    for act in (load_frost_overlays, frost_source):
        with pytest.raises(MissingFileError, match="no folder"):
            act(tmp_path / "missing")
        with pytest.raises(DataError, match="holds no"):
            act(tmp_path)
    (tmp_path / "frost1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"frost1\.png cannot be read as an image"):
        load_frost_overlays(tmp_path)
