from pathlib import Path

import pytest
import torch
from torch import nn

from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.models import NETWORKS, ModelSpec, build, load_checkpoint, network, save_checkpoint
from rwsstore.models.folding import unfoldable_batchnorms
from rwsstore.models.registry import outline
from tests.models.networks import pictures, spec


@pytest.mark.parametrize("network", NETWORKS)
def test_logits_have_the_shape_and_dtype_promised(network: str) -> None:
    model = build(spec(network)).eval()
    with torch.no_grad():
        logits = model(pictures(2))
    assert logits.shape == (2, 10)
    assert logits.dtype == torch.float32
    assert bool(logits.isfinite().all())


@pytest.mark.parametrize("network", ["vgg16", "resnet18"])
def test_the_seed_decides_the_weights(network: str) -> None:
    torch.manual_seed(5)
    first, second, other = (build(spec(network), seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build(spec())
    assert torch.equal(torch.rand(3), expected)


def test_folded_networks_are_built_folded_and_train() -> None:
    folded = ModelSpec(network="resnet18", num_classes=10, width=0.125, folded=True)
    model = build(folded)
    assert model.spec == folded
    assert model.training
    assert model.network.training
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    assert unfoldable_batchnorms(model) == ()


@pytest.mark.parametrize(
    ("network", "folded"),
    [*((network, False) for network in NETWORKS), ("vgg16", True), ("resnet50", True)],
)
def test_the_outline_has_the_tensors_of_the_network(network: str, folded: bool) -> None:
    wanted = spec(network).model_copy(update={"folded": folded})
    real, meta = build(wanted).state_dict(), outline(wanted).state_dict()
    assert {n: (t.shape, t.dtype) for n, t in real.items()} == {
        n: (t.shape, t.dtype) for n, t in meta.items()
    }
    assert all(tensor.is_meta for tensor in meta.values())


def test_a_network_from_outside_is_built_stored_and_read_while_it_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "flat.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr("rwsstore.models.registry.NETWORKS", dict(NETWORKS))

        @network
        def flat(spec: ModelSpec) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(3 * spec.input_size**2, spec.num_classes))

        with pytest.raises(ConfigError, match="there is a network 'flat' already"):
            network(flat)
        made = build(ModelSpec(network="flat", num_classes=4, input_size=8)).eval()
        save_checkpoint(path, made)
        images = torch.zeros(2, 3, 8, 8)
        assert torch.equal(load_checkpoint(path)(images), made(images))
    with pytest.raises(UnknownNameError, match="flat"):
        load_checkpoint(path)


def test_the_names_of_the_package_are_taken() -> None:
    def vgg16(spec: ModelSpec) -> nn.Module:
        raise NotImplementedError

    with pytest.raises(ConfigError, match="name it otherwise"):
        network(vgg16)
