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

import torch

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
