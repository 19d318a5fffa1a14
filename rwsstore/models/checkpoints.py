"""Whole networks in files: our own safetensors, and state dicts that other programs wrote."""

import io
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from rwsstore.errors import ConfigError, FormatError, MismatchError, TensorError
from rwsstore.files import load_tensors, read_bounded, write_atomic
from rwsstore.models.classifier import Classifier
from rwsstore.models.folding import fold_batchnorm
from rwsstore.models.registry import build, outline
from rwsstore.models.spec import ModelSpec


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Refuse NaN and infinity.

    Raises:
        TensorError: a tensor holds a number that is not finite; the first one is named.
    """
    for name, tensor in state.items():
        bad = int(tensor.numel() - tensor.isfinite().sum())
        if bad:
            raise TensorError(
                f"{name}: {bad} of {tensor.numel()} values are NaN or infinite; finite weights are "
                "expected. Train again, or use an earlier checkpoint."
            )


_Kind = tuple[tuple[int, ...], torch.dtype]


@lru_cache(maxsize=16)
def expected_tensors(spec: ModelSpec) -> Mapping[str, _Kind]:
    """List the shape and dtype of each tensor of a specified model, without building it.

    Raises:
        UnknownNameError, ConfigError: as `build`.
    """
    state = outline(spec).state_dict()
    return MappingProxyType({name: _kind(tensor) for name, tensor in state.items()})


def check_agreement(state: Mapping[str, Tensor], spec: ModelSpec, *, what: str) -> None:
    """Refuse tensors that are not exactly those of a specified model.

    Raises:
        MismatchError: names what they are of, and the first difference: a tensor that is missing,
            of another shape or dtype, or one too many; or a normalization other than the
            specification's.
    """
    expected = expected_tensors(spec)
    for name, kind in expected.items():
        if name not in state:
            raise MismatchError(f"{what}: {_of(spec)} needs the tensor {name}, which is missing")
        if _kind(state[name]) != kind:
            raise MismatchError(
                f"{what}: {name} is {_text(_kind(state[name]))}, {_of(spec)} needs {_text(kind)}"
            )
    extra = next((name for name in state if name not in expected), None)
    if extra is not None:
        raise MismatchError(f"{what}: {_of(spec)} has no tensor {extra}")
    for name, values in (("normalize.mean", spec.mean), ("normalize.std", spec.std)):
        if not torch.equal(state[name].cpu(), torch.tensor(values, dtype=torch.float32)):
            raise MismatchError(
                f"{what}: {name} is {state[name].tolist()}, its specification says {list(values)}"
            )


def _kind(tensor: Tensor) -> _Kind:
    return tuple(tensor.shape), tensor.dtype


def _text(kind: _Kind) -> str:
    shape, dtype = kind
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"


def _of(spec: ModelSpec) -> str:
    norm = "folded" if spec.folded else "with BatchNorm" if spec.batch_norm else "without BatchNorm"
    return f"{spec.network} ({norm}, width {spec.width:g}, {spec.num_classes} classes)"


_WRAPPERS = ("state_dict", "model")
_ADVICE = "Save it anew with torch.save(model.state_dict(), path)."


def read_pickled(data: bytes, *, what: str) -> dict[str, Tensor]:
    """Read the state dict in a file of `torch.save`; no code in it is run (`weights_only`).

    Raises:
        FormatError: another file, a cut one, or one with objects other than tensors. Compressed
            entries, which torch never writes and which may unpack to any size, are refused first.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            compressed = any(entry.compress_type for entry in archive.infolist())
    except zipfile.BadZipFile:  # the format before torch 1.6, or no such file at all
        compressed = False
    if compressed:
        raise FormatError(f"{what} is a compressed archive, which torch.save never writes")
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes may raise anything
        raise FormatError(
            f"{what} is no state dict, or holds objects other than tensors "
            f"({type(error).__name__}). {_ADVICE}"
        ) from error
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    return _plain_tensors(content, what)


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


MAX_CHECKPOINT_BYTES = 8 << 30
"""The largest checkpoint that is read: 8 GiB."""

_METADATA_KEY = "rwsstore"
_PICKLED = (".pth", ".pt")


def save_checkpoint(path: str | Path, model: Classifier) -> None:
    """Write a model as safetensors with its specification; the same model gives the same bytes.

    Raises:
        FormatError: `path` does not end in `.safetensors`.
        MismatchError: the model's tensors are not those of its specification.
        TensorError: a weight is NaN or infinite.
        StoreError: the file could not be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise FormatError(f"{path}: checkpoints are written as .safetensors; rename it")
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    check_agreement(state, model.spec, what=f"the model to be written to {path}")
    check_finite(state)
    data = safetensors.torch.save(state, metadata={_METADATA_KEY: model.spec.to_json()})
    write_atomic(path, data)


def load_checkpoint(path: str | Path, *, spec: ModelSpec | None = None) -> Classifier:
    """Read a model, in evaluation mode.

    Args:
        path: `.safetensors`, or `.pth` or `.pt` with a state dict, bare or under "state_dict" or
            "model". A state dict may name the tensors of the network alone, without "network."
            before them; normalization comes from `spec` then.
        spec: what the file holds. Needed where the file does not say; where it does, the two must
            be equal.

    Raises:
        MissingFileError: no such file.
        FormatError: not such a file, cut, over 8 GiB, or with objects other than tensors.
        ConfigError: no specification, or one that contradicts the file's.
        MismatchError: the tensors are not those of the network; the first difference is named.
        TensorError: a weight is NaN or infinite.
        UnknownNameError: no such network.
    """
    path = Path(path)
    state, stored = _read(path)
    found = stored or spec
    if found is None:
        raise ConfigError(
            f"{path} does not say which network it holds. Give a specification: network, "
            "num_classes, and where they differ from the defaults width, batch_norm, folded, "
            "input_size, mean and std."
        )
    if stored is None:
        state = adapt_names(state, found)
    for field in ModelSpec.model_fields if spec is not None else ():
        if getattr(found, field) != getattr(spec, field):
            raise ConfigError(
                f"{path} says {field} = {getattr(found, field)!r}, but {getattr(spec, field)!r} "
                "was given. Leave the specification out, or give the file's."
            )
    check_agreement(state, found, what=str(path))
    check_finite(state)
    model = build(found)
    model.load_state_dict(state)
    return model.eval()


def load_clean_model(path: str | Path, *, spec: ModelSpec | None = None) -> Classifier:
    """Read a model and fold its BatchNorm if that is still to be done.

    Raises:
        RefusedError, NotFoundError: as `load_checkpoint`.
        TensorError: also where folding gives NaN or infinity (a negative running variance).
    """
    model = load_checkpoint(path, spec=spec)
    if model.spec.folded:
        return model
    folded = fold_batchnorm(model)
    check_finite(folded.state_dict())
    return folded


def _read(path: Path) -> tuple[Mapping[str, Tensor], ModelSpec | None]:
    what = f"checkpoint {path}"
    if path.suffix == ".safetensors":
        tensors, header = load_tensors(
            read_bounded(path, limit=MAX_CHECKPOINT_BYTES, what="checkpoint"), what=what
        )
        text = header.metadata.get(_METADATA_KEY)
        return tensors, None if text is None else ModelSpec.from_json(text, what=what)
    if path.suffix in _PICKLED:
        data = read_bounded(path, limit=MAX_CHECKPOINT_BYTES, what="checkpoint")
        return read_pickled(data, what=what), None
    raise FormatError(
        f"{what}: unknown ending {path.suffix!r}; .safetensors, or .pth or .pt with a state dict, "
        "is expected"
    )
