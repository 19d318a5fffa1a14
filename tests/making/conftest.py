"""A bundle of digits, built once, and a store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rwsstore.data import ImageSet, load_images
from rwsstore.making import build_bundle, read_config
from rwsstore.making.card import BundleCard
from rwsstore.making.config import BundleConfig
from rwsstore.store import Store

TOML = """
version = 1
name = "digits"
corruptions = ["fog", "contrast"]

[data]
name = "digits"
classes = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
validation = 100

[network]
width = 0.125
input_size = 16

[training]
epochs = 2
batch_size = 64
padding = 2
flip = false

[averaging]
cycles = 2
learning_rate = 0.02

[extraction]
layers = 3
bits = 8
card_images = 50
alphas = [1.0]

[extraction.training]
epochs = 1
batch_size = 64
padding = 2
flip = false

[[deltas]]
recipe = "corruption_resistant"
name = "steady"
settings = { epsilon = 0.2 }
layers = "conv2,13-14"
bits = 4
alphas = [1.0]
card_images = 40
training = { epochs = 1, batch_size = 64, flip = false, padding = 2 }

[measuring]
bits = [8, 4]
hazard_images = 60
resamples = 50
"""

Write = Callable[[str], Path]


@dataclass(frozen=True)
class Made:
    """What a build left."""

    config: BundleConfig
    card: BundleCard
    out: Path
    work: Path


@pytest.fixture(scope="session")
def digits() -> tuple[ImageSet, ImageSet]:
    """240 images to train on, 100 to test on."""
    train, test = (load_images("digits", split, size=16) for split in ("train", "test"))
    return train.limit(240), test.limit(100)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, digits: tuple[ImageSet, ImageSet]) -> Made:
    folder = tmp_path_factory.mktemp("bundle")
    path = folder / "bundle.toml"
    path.write_text(TOML)
    config = read_config(path)
    out, work = folder / "out", folder / "work"
    return Made(config, build_bundle(config, *digits, out, work=work), out, work)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration and say where it is."""

    def write_text(text: str) -> Path:
        path = tmp_path / "bundle.toml"
        path.write_text(text)
        return path

    return write_text
