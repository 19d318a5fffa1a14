from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rwsstore.models import Classifier, ModelSpec, load_checkpoint, weights_fingerprint
from tests.models.networks import lively_classifier


@pytest.fixture
def model() -> Classifier:
    return lively_classifier("resnet18")


def _prefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": tensor for name, tensor in state.items()}


def _without_counts(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model.state_dict(),
        lambda model: model.network.state_dict(),
        lambda model: {"state_dict": model.network.state_dict(), "epoch": 3, "name": "x"},
        lambda model: {"model": model.network.state_dict(), "loss": 0.5},
        lambda model: _prefixed(model.network.state_dict()),
        lambda model: {"state_dict": _prefixed(model.state_dict())},
        lambda model: _without_counts(model.network.state_dict()),
        lambda model: dict(model.network.named_parameters()) | dict(model.network.named_buffers()),
    ],
    ids=["whole", "network", "state_dict", "model", "module", "wrapped", "uncounted", "grad"],
)
def test_state_dicts_load(tmp_path: Path, model: Classifier, wrap: Any) -> None:
    path = tmp_path / "theirs.pth"
    torch.save(wrap(model), path)
    loaded = load_checkpoint(path, spec=model.spec)
    assert weights_fingerprint(loaded.state_dict()) == weights_fingerprint(model.state_dict())
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training


def test_the_format_before_zip_loads(tmp_path: Path, model: Classifier) -> None:
    path = tmp_path / "old.pt"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
    loaded = load_checkpoint(path, spec=model.spec)
    assert weights_fingerprint(loaded.state_dict()) == weights_fingerprint(model.state_dict())


def test_normalization_of_a_bare_network_comes_from_the_specification(
    tmp_path: Path, model: Classifier
) -> None:
    path = tmp_path / "theirs.pth"
    torch.save(model.network.state_dict(), path)
    spec = model.spec.model_copy(update={"mean": (0.1, 0.2, 0.3)})
    loaded = load_checkpoint(path, spec=spec)
    torch.testing.assert_close(loaded.state_dict()["normalize.mean"], torch.tensor([0.1, 0.2, 0.3]))


def test_a_torchvision_checkpoint_loads(tmp_path: Path) -> None:
    theirs = lively_classifier("torchvision:resnet18", size=64).network
    path = tmp_path / "resnet18.pth"
    torch.save(theirs.state_dict(), path)
    spec = ModelSpec(network="torchvision:resnet18", num_classes=10, input_size=64)
    loaded = load_checkpoint(path, spec=spec).network
    assert weights_fingerprint(loaded.state_dict()) == weights_fingerprint(theirs.state_dict())
