"""Networks by name. A new one is a function with `network` above it, as in `networks.py`."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rwsstore.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:  # the names are listed where nothing is built
    from torch import nn

    from rwsstore.models.classifier import Classifier
    from rwsstore.models.spec import ModelSpec

Builder = Callable[["ModelSpec"], "nn.Module"]
"""Takes a specification to a network with random weights, BatchNorm not folded."""

_OWN = "rwsstore.models.networks"


def _own(name: str) -> Builder:
    def build_own(spec: "ModelSpec") -> "nn.Module":
        from rwsstore.models import networks

        made: nn.Module = getattr(networks, name)(spec)
        return made

    return build_own


# The networks of `networks.py` are read from its source: to import it takes torch a second.
_SOURCE = Path(__file__).with_name("networks.py").read_text("utf-8")

NETWORKS: dict[str, Builder] = {
    function.name: _own(function.name)
    for function in ast.parse(_SOURCE).body
    if isinstance(function, ast.FunctionDef) and function.decorator_list
}
"""What builds a network, by its name; torchvision's are not listed: torchvision:NAME."""


def network(builder: Builder) -> Builder:
    """Have a builder found by its name.

    Raises:
        ConfigError: there is a network of that name.
    """
    name = builder.__name__
    if name in NETWORKS and builder.__module__ != _OWN:
        raise ConfigError(f"there is a network {name!r} already; name it otherwise")
    NETWORKS[name] = builder
    return builder


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
    """Build a model, as `build`, but without memory for its weights: on the meta device."""
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
        make_network: Builder = torchvision_network
    elif spec.network in NETWORKS:
        make_network = NETWORKS[spec.network]
    else:
        raise UnknownNameError("network", spec.network, [*NETWORKS, PREFIX + "NAME"])
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.default_generator.manual_seed(seed)
        network = make_network(spec)
        normalize = Normalize(spec.mean, spec.std)
    model = Classifier(spec, normalize, network)
    return fold_batchnorm(model).train() if spec.folded else model
