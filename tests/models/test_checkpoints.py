from pathlib import Path

import pytest
import safetensors.torch
import torch

from rwsstore.errors import TensorError
from rwsstore.files import read_header
from rwsstore.models import (
    ModelSpec,
    build,
    fold_batchnorm,
    load_checkpoint,
    load_clean_model,
    save_checkpoint,
    weights_fingerprint,
)
from rwsstore.models.folding import unfoldable_batchnorms
from tests.models.networks import lively_classifier, pictures


@pytest.mark.parametrize("network", ["vgg16", "torchvision:squeezenet1_1"])
@pytest.mark.parametrize("folded", [False, True])
def test_round_trip_is_exact(tmp_path: Path, network: str, folded: bool) -> None:
    model = lively_classifier(network)
    if folded:
        model = fold_batchnorm(model)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model.train())
    loaded = load_checkpoint(path)
    assert loaded.spec == model.spec
    assert not any(module.training for module in loaded.modules())
    assert weights_fingerprint(loaded.state_dict()) == weights_fingerprint(model.state_dict())
    with torch.no_grad():
        assert torch.equal(loaded(pictures()), model.eval()(pictures()))


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_checkpoint(first, lively_classifier())
    model = lively_classifier()
    save_checkpoint(second, model.to(memory_format=torch.channels_last))  # type: ignore[call-overload]  # torch's stub lacks it
    assert first.read_bytes() == second.read_bytes()


def test_the_file_carries_its_specification(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = lively_classifier()
    save_checkpoint(path, model)
    metadata = read_header(path.read_bytes(), what="checkpoint").metadata
    assert dict(metadata) == {"rwsstore": model.spec.to_json()}


def test_an_equal_specification_may_be_given(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = lively_classifier()
    save_checkpoint(path, model)
    assert load_checkpoint(path, spec=model.spec).spec == model.spec


def test_loading_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, lively_classifier())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_checkpoint(path)
    assert torch.equal(torch.rand(3), expected)


def test_safetensors_of_others_need_a_specification_and_load(tmp_path: Path) -> None:
    model = lively_classifier("resnet18")
    path = tmp_path / "theirs.safetensors"
    safetensors.torch.save_file(model.network.state_dict(), path)
    loaded = load_checkpoint(path, spec=model.spec)
    assert weights_fingerprint(loaded.state_dict()) == weights_fingerprint(model.state_dict())


def test_a_clean_model_is_folded_and_finite(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = lively_classifier()
    save_checkpoint(path, model)
    clean = load_clean_model(path)
    assert clean.spec.folded
    assert not clean.training
    assert unfoldable_batchnorms(clean) == ()
    with torch.no_grad():
        torch.testing.assert_close(clean(pictures()), model(pictures()), atol=1e-5, rtol=1e-4)
    save_checkpoint(path, clean)
    again = load_clean_model(path)
    assert weights_fingerprint(again.state_dict()) == weights_fingerprint(clean.state_dict())


def test_a_clean_model_whose_statistics_cannot_be_is_refused(tmp_path: Path) -> None:
    model = lively_classifier()
    model.network.get_submodule("features.norm3").get_buffer("running_var").fill_(-1)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model)
    with pytest.raises(TensorError, match=r"network\.features\.conv3\.weight"):
        load_clean_model(path)


def test_a_specification_of_full_width_costs_nothing_to_refuse(tmp_path: Path) -> None:
    """The tensors are compared before anything of the stated size is built."""
    huge = ModelSpec(network="vgg16", num_classes=100_000, width=16.0, batch_norm=False)
    small = build(ModelSpec(network="vgg16", num_classes=2, width=0.125, batch_norm=False))
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(small.state_dict(), path, metadata={"rwsstore": huge.to_json()})
    with pytest.raises(ValueError, match=r"conv1\.weight is float32 \[8, 3, 3, 3\]"):
        load_checkpoint(path)
