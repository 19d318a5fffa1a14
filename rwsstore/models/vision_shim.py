"""The one place that imports torchvision, so that it also works beside a CPU-only torch.

PyPI's torchvision for Linux is built against the CUDA build of torch. Beside a CPU-only torch its
compiled extension does not load, and the import stops at "operator torchvision::nms does not
exist", because torchvision describes two operators that only the extension declares. Declaring
their schemas first makes models, transforms and datasets work. Where the extension loads, nothing
is declared.
"""

import importlib
import importlib.util
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.models.spec import ModelSpec

_LOCK = threading.Lock()
_OPERATORS = ("torchvision::nms", "torchvision::qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> ModuleType:
    """Import torchvision, or return it where it is imported already; safe in threads.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
    """
    with _LOCK:
        spec = importlib.util.find_spec("torchvision")
        if spec and spec.origin and not _extension_loads(Path(spec.origin).parent):
            for operator in _OPERATORS:
                torch.library.define(operator, _SCHEMA)
        return importlib.import_module("torchvision")


def _extension_loads(package: Path) -> bool:
    """Tell whether torchvision's operators are there, loading its extension if need be."""
    if hasattr(torch.ops.torchvision, "nms"):
        return True
    try:
        for library in sorted(package.glob("_C.*")):
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]  # torch's own
    except OSError:
        return False
    return hasattr(torch.ops.torchvision, "nms")


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
    own: dict[str, Any] = {}
    if name.startswith("vit_"):
        own = {"image_size": spec.input_size}
    elif name.startswith("maxvit"):
        own = {"input_size": (spec.input_size, spec.input_size)}
    elif name in ("googlenet", "inception_v3"):  # their auxiliary outputs serve training alone
        own = {"aux_logits": False, "init_weights": True}
    models = import_torchvision().models
    try:
        network: nn.Module = models.get_model(
            name, weights=None, num_classes=spec.num_classes, **own
        )
    except (AssertionError, ValueError) as error:
        raise ConfigError(
            f"{spec.network} cannot be built for images of {spec.input_size} pixels: {error}"
        ) from error
    return network
