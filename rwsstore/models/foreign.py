"""State dicts that other programs wrote: read without running them, and named as ours."""

__all__ = ["adapt_names", "read_pickled"]

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rwsstore.errors import FormatError
from rwsstore.models.agreement import expected_tensors
from rwsstore.models.spec import ModelSpec

_WRAPPERS = ("state_dict", "model")
_ADVICE = "Save it anew with torch.save(model.state_dict(), path)."


def read_pickled(data: bytes, *, what: str) -> dict[str, Tensor]:
    """Read the state dict in a file of `torch.save`; no code in it is run (`weights_only`).

    Args:
        data: the whole file: a state dict, or one under "state_dict" or "model".
        what: what the file is called in messages.

    Raises:
        FormatError: another file, a cut one, or one with objects other than tensors.
    """
    _refuse_compression(data, what)
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes may raise anything
        raise FormatError(
            f"{what} is no state dict, or holds objects other than tensors "
            f"({type(error).__name__}). {_ADVICE}"
        ) from error
    return _plain_tensors(_unwrap(content), what)


def adapt_names(state: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, Tensor]:
    """Give a state dict the names that the tensors of a `Classifier` have.

    A prefix "module." that all names share is dropped. Where no name begins with "network.", the
    names are those of the network alone: they get that prefix, and the normalization of `spec` is
    added. A BatchNorm without a count of batches, as torch wrote it before 0.4.1, gets a 0.
    """
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if any(name.startswith("network.") for name in state):
        return dict(state)
    named = {f"network.{name}": tensor for name, tensor in state.items()}
    named["normalize.mean"] = torch.tensor(spec.mean)
    named["normalize.std"] = torch.tensor(spec.std)
    for name in expected_tensors(spec):
        if name.endswith(".num_batches_tracked"):
            named.setdefault(name, torch.tensor(0))
    return named


def _refuse_compression(data: bytes, what: str) -> None:
    """Refuse compressed entries, which torch never writes and which may unpack to any size."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            compressed = any(entry.compress_type for entry in archive.infolist())
    except zipfile.BadZipFile:
        return  # the format before torch 1.6, or no such file at all
    if compressed:
        raise FormatError(f"{what} is a compressed archive, which torch.save never writes")


def _unwrap(content: Any) -> Any:
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return content[key]
    return content


def _plain_tensors(content: Any, what: str) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise FormatError(f"{what} holds a {type(content).__name__}, no state dict. {_ADVICE}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise FormatError(
                f"{what}: the entry {str(name)[:100]!r} is a {type(value).__name__}, not a tensor. "
                f"{_ADVICE}"
            )
        if value.layout != torch.strided or value.is_quantized:
            raise FormatError(f"{what}: {name} is sparse or quantized, a plain tensor is expected")
    return dict(content)
