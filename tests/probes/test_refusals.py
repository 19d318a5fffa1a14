from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from rwsstore.errors import (
    ConfigError,
    MismatchError,
    TensorError,
    UnknownNameError,
    UnknownPatchError,
)
from rwsstore.models import parse_layers
from rwsstore.patches import AlphaRange, Patch, compose
from rwsstore.probes import (
    GainOptions,
    Signature,
    compare_signatures,
    feature_maps,
    find_signatures,
    gather_signatures,
    measure_gains,
)
from rwsstore.probes.groups import contrast_groups
from rwsstore.runtime import PatchBag
from rwsstore.store import Store
from tests.probes.making import model, patch, signatures
from tests.runtime.making import bare_patch
from tests.training.tiny import classifier, pictures

FOG, SNOW = patch("fog"), patch("snow", seed=1)
IMAGE = torch.zeros(3, 16, 16, dtype=torch.uint8)
CONV1 = "network.features.conv1"


def test_patches_of_other_models() -> None:
    other = bare_patch(classifier(folded=True, seed=1), "fog")
    wider = bare_patch(classifier("resnet18", folded=True), "fog")
    for one, message in ((other, "clean weights"), (wider, "another architecture")):
        with pytest.raises(MismatchError, match=message):
            gather_signatures(model(), {"snow": SNOW, "fog": one})


def test_a_part_of_another_model() -> None:
    other = bare_patch(classifier(folded=True, seed=1), "fog")
    foreign = compose("both", [(other, 0.5)])
    own = SNOW.metadata.clean_weights
    posing = Patch.build(foreign.metadata.revised(clean_weights=own), {}, None)
    with pytest.raises(MismatchError, match="clean weights"):
        gather_signatures(model(), {"both": posing}, PatchBag([other]))


def test_one_patch_under_two_names() -> None:
    with pytest.raises(ConfigError, match="'fog' and 'mist' are the same patch"):
        gather_signatures(model(), {"fog": FOG, "mist": FOG})


def test_a_part_that_is_not_at_hand() -> None:
    both = compose("both", [(FOG, 0.5), (SNOW, 0.5)])
    with pytest.raises(UnknownPatchError):
        gather_signatures(model(), {"both": both, "fog": FOG})


def test_a_strength_of_0() -> None:
    idle = bare_patch(model(), "idle", alpha=AlphaRange(recommended=0.0))
    with pytest.raises(ConfigError, match="changes nothing"):
        gather_signatures(model(), {"idle": idle})


def test_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(UnknownPatchError, match="extract some"):
        find_signatures(model(), Store(tmp_path / "store"))


@pytest.mark.parametrize("names", [(), ("fog",)])
def test_fewer_than_two_patches(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="takes two or more"):
        compare_signatures(model(), signatures(*names))


def test_a_tensor_that_belongs_to_no_layer() -> None:
    mean = bare_patch(model(), "mean", names=["normalize.mean"])
    given = gather_signatures(model(), {"mean": mean, "fog": FOG})
    with pytest.raises(MismatchError, match=r"'normalize.mean', which belongs to no layer"):
        compare_signatures(model(), given)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"corruptions": ()}, ConfigError),
        ({"corruptions": ("fog", "fog")}, ConfigError),
        ({"corruptions": ("drizzle",)}, UnknownNameError),
        ({"severity": 6}, ConfigError),
    ],
)
def test_gain_options(fields: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        GainOptions(**fields)  # type: ignore[arg-type]  # wrong on purpose


def test_gains_of_no_patch() -> None:
    with pytest.raises(ConfigError, match="no patches"):
        measure_gains(model(), (), pictures(size=16), GainOptions())


def test_gains_of_another_models_patch_are_refused_before_anything_is_measured() -> None:
    other = bare_patch(classifier(folded=True, seed=1), "snow")
    signature = Signature("snow", other.digest, "snow", ((other, 1.0),))
    measured: list[str] = []

    def measure(key: str, *_: object) -> float:
        measured.append(key)
        return 0.0

    with pytest.raises(MismatchError):
        measure_gains(
            model(), (*signatures("fog"), signature), pictures(size=16), GainOptions(),
            measure=measure,
        )  # fmt: skip
    assert measured == []


def test_relabelings() -> None:
    with pytest.raises(ConfigError, match="relabelings is 0"):
        contrast_groups(torch.zeros(2, 2), ("fog", "snow"), ("fog", "snow"), relabelings=0)


@pytest.mark.parametrize("text", ["0", "15", "3-2", "1,1", "1-3,2", "conv1,1"])
def test_layers_that_contradict(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_layers(model(), text)


@pytest.mark.parametrize("text", ["conv99", "", "onv1", "1-", "²"])
def test_unknown_layers(text: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown layer"):
        parse_layers(model(), text)


def test_part_of_a_name_that_is_that_of_several() -> None:
    network = nn.Sequential(
        OrderedDict(
            left=nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 3, 1))),
            right=nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 3, 1))),
        )
    )
    assert parse_layers(network, "right.conv") == ("right.conv",)
    with pytest.raises(ConfigError, match=r"may be left.conv, right.conv: give the whole name"):
        parse_layers(network, "conv")


@pytest.mark.parametrize(
    ("request_", "fields", "error", "message"),
    [
        ({}, {}, ConfigError, "no patch is put on"),
        ({"fog": 0.0}, {}, ConfigError, "no patch is put on"),
        ({"fog": 9.0}, {}, ConfigError, "takes 0 to 2"),
        ({"hail": None}, {}, UnknownPatchError, "hail"),
        ({"fog": None}, {"layers": ["conv1"]}, ConfigError, "expected some of network"),
        ({"fog": None}, {"layers": []}, ConfigError, "layers are none"),
        ({"fog": None}, {"layers": [CONV1, CONV1]}, ConfigError, "each once"),
        ({"fog": None}, {"layers": ["network.classifier"]}, ConfigError, "no feature maps"),
        ({"head": None}, {}, ConfigError, "no layer that gives feature maps"),
        ({"fog": None}, {"channels": 0}, ConfigError, "channels is 0"),
        ({"fog": None}, {"uncorrupted": IMAGE[:, :8]}, TensorError, "an image is"),
        ({"fog": None}, {"image": IMAGE.float()}, TensorError, "float32"),
        ({"fog": None}, {"image": IMAGE[None]}, TensorError, "an image is"),
        ({"fog": None}, {"image": IMAGE[:1]}, TensorError, "an image is"),
    ],
)
def test_feature_maps(
    request_: dict[str, float | None],
    fields: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    head = bare_patch(model(), "head", names=["network.classifier.weight"])
    given = {"image": IMAGE, **fields}
    with pytest.raises(error, match=message):
        feature_maps(model(), request_, PatchBag([FOG, head]), **given)  # type: ignore[arg-type]  # wrong on purpose
