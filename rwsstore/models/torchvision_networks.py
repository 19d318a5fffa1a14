"""Any of torchvision's classifiers, by the name `torchvision:NAME`."""

from typing import Any

from torch import nn

from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.models.spec import ModelSpec
from rwsstore.models.vision_shim import import_torchvision

PREFIX = "torchvision:"


def torchvision_names() -> tuple[str, ...]:
    """Name every classifier of the installed torchvision, with the prefix; imports it."""
    models = import_torchvision().models
    return tuple(PREFIX + name for name in models.list_models(module=models))


def torchvision_network(spec: ModelSpec) -> nn.Module:
    """Build one of torchvision's classifiers with its own initialization and no stored weights.

    Raises:
        UnknownNameError: torchvision has no classifier of that name.
        ConfigError: an option that torchvision's networks do not have.
    """
    known = torchvision_names()
    if spec.network not in known:
        raise UnknownNameError("network", spec.network, known)
    if spec.width != 1.0 or not spec.batch_norm:
        raise ConfigError(
            f"{spec.network} has one width and its own normalization; leave width at 1 and "
            f"batch_norm on, found width {spec.width} and batch_norm {spec.batch_norm}"
        )
    name = spec.network.removeprefix(PREFIX)
    models = import_torchvision().models
    try:
        network: nn.Module = models.get_model(
            name, weights=None, num_classes=spec.num_classes, **_options(name, spec.input_size)
        )
    except (AssertionError, ValueError) as error:
        raise ConfigError(
            f"{spec.network} cannot be built for images of {spec.input_size} pixels: {error}"
        ) from error
    return network


def _options(name: str, size: int) -> dict[str, Any]:
    if name.startswith("vit_"):
        return {"image_size": size}
    if name.startswith("maxvit"):
        return {"input_size": (size, size)}
    if name in ("googlenet", "inception_v3"):  # their auxiliary outputs serve training alone
        return {"aux_logits": False, "init_weights": True}
    return {}
