"""Networks by name. A new one is a function in `networks.py` and one row here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from rwsstore.errors import UnknownNameError

if TYPE_CHECKING:  # the rows are listed where nothing is built
    from torch import nn

    from rwsstore.models.classifier import Classifier
    from rwsstore.models.spec import ModelSpec

_Builder = Callable[["ModelSpec"], "nn.Module"]


@dataclass(frozen=True)
class Network:
    """One row of the registry.

    Attributes:
        name: as in `ModelSpec.network`, and of the function in `networks.py`.
        summary: one line for listings.
    """

    name: str
    summary: str

    @property
    def build(self) -> _Builder:
        """Takes a specification to a network with random weights, BatchNorm not folded."""
        from rwsstore.models import networks

        found: _Builder = getattr(networks, self.name)
        return found


_ROWS = (
    Network("vgg16", "13 convolutions and one linear layer, BatchNorm optional"),
    Network("resnet18", "8 basic residual blocks, for small images"),
    Network("resnet32", "15 small basic residual blocks, for CIFAR"),
    Network("resnet32_stride2", "the same behind a stem of stride 2"),
    Network("resnet50", "16 bottleneck residual blocks, for small images"),
)

NETWORKS: Mapping[str, Network] = MappingProxyType({row.name: row for row in _ROWS})
"""The networks of this project by name; torchvision's have names of the form torchvision:NAME."""


def build(spec: "ModelSpec", *, seed: int = 0) -> "Classifier":
    """Build the network that a specification names, with random weights, in training mode.

    The same specification and seed give the same weights, and torch's global CPU generator is
    left as it was.

    Args:
        spec: what to build; where `spec.folded`, foldable BatchNorms are folded already.
        seed: of the random weights.

    Raises:
        UnknownNameError: no such network.
        ConfigError: an option that the network does not have.
    """
    return _assemble(spec, seed, "cpu")


def outline(spec: "ModelSpec") -> "Classifier":
    """Build a model without memory for its weights, on the meta device, to see its tensors.

    Raises:
        UnknownNameError, ConfigError: as `build`.
    """
    try:
        return _assemble(spec, 0, "meta")
    except NotImplementedError:  # some of torchvision's networks compute with tensors to be built
        return build(spec)


def _assemble(spec: "ModelSpec", seed: int, device: str) -> "Classifier":
    import torch

    from rwsstore.models.classifier import Classifier, Normalize
    from rwsstore.models.folding import fold_batchnorm
    from rwsstore.models.vision_shim import PREFIX, import_torchvision, torchvision_network

    if spec.network.startswith(PREFIX):
        import_torchvision()  # before the device is set: an import may make tensors
        make_network: _Builder = torchvision_network
    elif spec.network in NETWORKS:
        make_network = NETWORKS[spec.network].build
    else:
        raise UnknownNameError("network", spec.network, [*NETWORKS, PREFIX + "NAME"])
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.default_generator.manual_seed(seed)
        network = make_network(spec)
        normalize = Normalize(spec.mean, spec.std)
    model = Classifier(spec, normalize, network)
    return fold_batchnorm(model).train() if spec.folded else model
