"""Everything that rwsstore.models refuses, and by which error."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from rwsstore.errors import (
    ConfigError,
    FormatError,
    MismatchError,
    MissingFileError,
    TensorError,
    UnknownNameError,
)
from rwsstore.models import (
    Classifier,
    ModelSpec,
    build,
    fold_batchnorm,
    load_checkpoint,
    load_clean_model,
    ordered_layers,
    save_checkpoint,
)
from rwsstore.models.folding import unfoldable_batchnorms
from tests.models.networks import Untraceable, lively_classifier, spec


@pytest.fixture
def model() -> Classifier:
    return lively_classifier()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def _write(path: Path, model: Classifier, **changes: Any) -> None:
    """Write a checkpoint by hand, with tensors replaced, added, or (None) left out."""
    state = {**model.state_dict(), **changes}
    kept = {name: tensor.contiguous() for name, tensor in state.items() if tensor is not None}
    safetensors.torch.save_file(kept, path, metadata={"rwsstore": model.spec.to_json()})


# Networks


@pytest.mark.parametrize("name", ["vgg61", "torchvision:resnet19", "torchvision:", ""])
def test_unknown_network(name: str) -> None:
    with pytest.raises((UnknownNameError, ConfigError), match=r"Known: |network: "):
        build(ModelSpec(network=name, num_classes=2))


def test_an_unknown_network_comes_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'torchvision:resnet18'"):
        build(ModelSpec(network="torchvision:resnet81", num_classes=2))
    with pytest.raises(UnknownNameError, match="Did you mean 'vgg16'"):
        build(ModelSpec(network="vgg61", num_classes=2))


@pytest.mark.parametrize("changes", [{"width": 0.5}, {"batch_norm": False}])
def test_torchvision_networks_have_no_such_options(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="one width and its own normalization"):
        build(ModelSpec(network="torchvision:resnet18", num_classes=2, **changes))


def test_torchvision_networks_may_not_fit_the_images() -> None:
    with pytest.raises(ConfigError, match="cannot be built for images of 30 pixels"):
        build(ModelSpec(network="torchvision:vit_b_16", num_classes=2, input_size=30))


# Tracing


@pytest.mark.parametrize("function", [fold_batchnorm, ordered_layers, unfoldable_batchnorms])
def test_an_untraceable_module(function: Any) -> None:
    with pytest.raises(ConfigError, match=r"Sequential cannot be traced .*`leaves`"):
        function(nn.Sequential(Untraceable()))


def test_a_model_without_layers() -> None:
    with pytest.raises(ConfigError, match="no convolution and no linear module"):
        ordered_layers(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))


# Files


def test_missing_file(path: Path) -> None:
    with pytest.raises(MissingFileError):
        load_checkpoint(path)


@pytest.mark.parametrize("name", ["model.bin", "model.onnx", "model", "model.safetensors.txt"])
def test_unknown_ending(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FormatError, match=r"\.safetensors, or \.pth or \.pt"):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("keep", [0, 4, 100, 5000, -1])
def test_a_cut_checkpoint(path: Path, model: Classifier, keep: int) -> None:
    save_checkpoint(path, model)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FormatError):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"hello, world", b"PK\x03\x04" + bytes(50), b"\x80\x02."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_other_content(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(FormatError):
        load_checkpoint(path, spec=spec())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_over_eight_gibibytes_is_not_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    with path.open("wb") as sparse:
        sparse.truncate((8 << 30) + 1)
    with pytest.raises(FormatError, match="at most 8589934592"):
        load_checkpoint(path)


def test_a_checkpoint_under_the_wrong_ending(path: Path, model: Classifier) -> None:
    save_checkpoint(path, model)
    renamed = path.rename(path.with_suffix(".pth"))
    with pytest.raises(FormatError, match="no state dict"):
        load_checkpoint(renamed, spec=model.spec)


def test_metadata_of_something_else(path: Path, model: Classifier) -> None:
    metadata = {"rwsstore": json.dumps({"version": 1, "kind": "rws"})}
    safetensors.torch.save_file(model.state_dict(), path, metadata=metadata)
    with pytest.raises(FormatError, match="does not describe a model of this project"):
        load_checkpoint(path)


def test_nothing_says_which_network(path: Path, model: Classifier) -> None:
    safetensors.torch.save_file(model.state_dict(), path)
    with pytest.raises(ConfigError, match=r"network, num_classes, .*width, batch_norm, folded"):
        load_checkpoint(path)


@pytest.mark.parametrize("changes", [{"width": 0.25}, {"folded": True}, {"mean": (0.0, 0.0, 0.0)}])
def test_the_specification_contradicts_the_file(
    path: Path, model: Classifier, changes: dict[str, Any]
) -> None:
    save_checkpoint(path, model)
    with pytest.raises(ConfigError, match=f"says {next(iter(changes))} ="):
        load_checkpoint(path, spec=model.spec.model_copy(update=changes))


# Tensors


def test_another_architecture_names_the_first_difference(tmp_path: Path) -> None:
    path = tmp_path / "theirs.pth"
    torch.save(lively_classifier("resnet18").network.state_dict(), path)
    with pytest.raises(MismatchError, match=r"network\.features\.conv1\.weight, which is missing"):
        load_checkpoint(path, spec=spec("vgg16"))
    with pytest.raises(MismatchError, match=r"conv1\.weight is float32 \[8, .*needs .*\[16, 3"):
        load_checkpoint(path, spec=spec("resnet18", width=0.25))


BIAS = "network.classifier.bias"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({BIAS: None}, f"needs the tensor {BIAS}, which is missing"),
        ({"network.more": torch.zeros(1)}, "has no tensor network.more"),
        ({BIAS: torch.zeros(11)}, rf"{BIAS} is float32 \[11\], .* needs float32 \[10\]"),
        ({BIAS: torch.zeros(10, dtype=torch.float16)}, rf"{BIAS} is float16 \[10\]"),
        ({BIAS: torch.zeros(10, dtype=torch.float64)}, rf"{BIAS} is float64 \[10\]"),
        ({"normalize.std": torch.ones(3)}, "normalize.std is .* its specification says"),
    ],
)
def test_tensors_that_do_not_agree(
    path: Path, model: Classifier, changes: dict[str, Any], message: str
) -> None:
    _write(path, model, **changes)
    with pytest.raises(MismatchError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("load", [load_checkpoint, load_clean_model])
def test_weights_that_are_not_finite(path: Path, model: Classifier, load: Any) -> None:
    _write(path, model, **{BIAS: torch.full((10,), float("nan"))})
    with pytest.raises(TensorError, match=f"{BIAS}: 10 of 10"):
        load(path)


# Saving


def test_nothing_is_written_of_a_model_that_is_refused(path: Path, model: Classifier) -> None:
    model.network.get_parameter("classifier.bias").data[0] = float("inf")
    with pytest.raises(TensorError, match=BIAS):
        save_checkpoint(path, model)
    with pytest.raises(MismatchError, match="float64"):
        save_checkpoint(path, model.double())
    with pytest.raises(FormatError, match="rename it"):
        save_checkpoint(path.with_suffix(".pth"), lively_classifier())
    assert list(path.parent.iterdir()) == []


# Pickles


@pytest.mark.parametrize(
    "content",
    [
        nn.Linear(2, 2),
        {"state_dict": nn.Linear(2, 2)},
        {"a": torch.zeros(2), "b": 3},
        {1: torch.zeros(2)},
        [torch.zeros(2)],
        torch.zeros(2),
        {"a": torch.zeros(2).to_sparse()},
    ],
    ids=["module", "wrapped", "number", "key", "list", "tensor", "sparse"],
)
def test_a_pickle_that_is_no_state_dict(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "theirs.pth"
    torch.save(content, path)
    with pytest.raises(FormatError):
        load_checkpoint(path, spec=spec())


class _Attack:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("attacked"),)


def test_code_in_a_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "theirs.pth"
    torch.save({"a": _Attack()}, path)
    with pytest.raises(FormatError, match=r"torch\.save\(model\.state_dict\(\), path\)"):
        load_checkpoint(path, spec=spec())
    assert not (tmp_path / "attacked").exists()


def test_an_archive_that_would_unpack_to_more(tmp_path: Path) -> None:
    plain = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, plain)
    path = tmp_path / "theirs.pth"
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(FormatError, match="compressed"):
        load_checkpoint(path, spec=spec())
