"""A bundle's configuration: what it means, and what is refused before any work."""

from collections.abc import Callable
from pathlib import Path

import pytest

import rwsstore
from rwsstore.corruptions import CORRUPTIONS
from rwsstore.errors import ConfigError, FormatError, MissingFileError, UnknownNameError
from rwsstore.making import read_config
from tests.making.conftest import TOML

Write = Callable[[str], Path]


def test_shipped_configuration_is_the_one_that_the_issue_of_record_asks_for() -> None:
    path = Path(rwsstore.__file__).parent / "bundle" / "cifar10.toml"
    config = read_config(path)
    assert config.corruptions == tuple(CORRUPTIONS)
    assert (config.extraction.severity, config.extraction.bits, config.extraction.layers) == (
        5,
        8,
        5,
    )
    assert config.network.batch_norm
    assert config.data.classes[0] == "airplane"


def test_groups_are_resolved(write: Write) -> None:
    config = read_config(write(TOML.replace('["fog", "contrast"]', '"noise"')))
    assert "gaussian_noise" in config.corruptions
    assert "fog" not in config.corruptions


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("card_images = 50", "card_images = 200", "card_images is 200, but only 100"),
        ("bits = [8, 4]", "bits = [16]", "measuring.bits asks for 16"),
        ("bits = [8, 4]", "bits = [4]", "measuring.bits leaves out 8"),
        ("layers = 3", "layers = 99", "99"),
        ("layers = 3", 'layers = 3\nanchor = "early"', "start at its clean model"),
        ("epochs = 2", "epochs = 0", "training.epochs"),
        ("width = 0.125", "width = -1.0", "network.width"),
        ("validation = 100", "validaton = 100", "data.validation"),
        ("version = 1", "version = 2", "version"),
        ("card_images = 40", "card_images = 101", "card_images of steady is 101, but only 100"),
        ("epsilon = 0.2", "epsilon = -1.0", "deltas.0: recipe corruption_resistant: epsilon"),
        ("epsilon = 0.2", "epsilom = 0.2", "epsilom"),
        ("epsilon = 0.2", 'layers = ["fc"]', "layers stand beside the settings"),
        ("conv2,13-14", "13-15", "layers 1 to 14"),
        ('name = "steady"', 'name = "fog"', "two patches are called fog"),
        ('"corruption_resistant"', '"corruption_resistent"', "Did you mean"),
        ("bits = 4\n", "bits = 5\n", "deltas.0.bits"),
        ('name = "digits"\ncor', 'name = "Di/gits"\ncor', "name"),
    ],
)
def test_contradictions_and_slips_are_named(write: Write, old: str, new: str, message: str) -> None:
    assert old in TOML
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        read_config(write(TOML.replace(old, new, 1)))


def test_what_a_deltas_training_leaves_out_is_its_recipes(write: Write) -> None:
    text = TOML.replace("corruption_resistant", "hessian_aware").replace(
        "epsilon = 0.2", "draws = 2"
    )
    (delta,) = read_config(write(text)).deltas
    training = delta.options.training
    assert training is not None
    assert (training.optimizer, training.learning_rate, training.epochs) == ("sgd", 0.0075, 1)


def test_unknown_words_are_refused(write: Write) -> None:
    with pytest.raises(UnknownNameError, match="vgg61"):
        read_config(write(TOML.replace("[network]", '[network]\nnetwork = "vgg61"')))
    with pytest.raises(ConfigError, match="smog"):
        read_config(write(TOML.replace("fog", "smog")))


def test_files_that_are_none(write: Write, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not TOML"):
        read_config(write("version = "))
    with pytest.raises(MissingFileError):
        read_config(tmp_path / "nothing.toml")
