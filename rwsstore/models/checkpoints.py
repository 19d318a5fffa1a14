"""Whole networks in files: our own safetensors, and state dicts made elsewhere."""

__all__ = ["load_checkpoint", "load_clean_model", "save_checkpoint"]

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from rwsstore.errors import ConfigError, FormatError
from rwsstore.files import load_tensors, read_bounded, write_atomic
from rwsstore.models.agreement import check_agreement
from rwsstore.models.classifier import Classifier
from rwsstore.models.finite import check_finite
from rwsstore.models.folding import fold_batchnorm
from rwsstore.models.foreign import adapt_names, read_pickled
from rwsstore.models.registry import build
from rwsstore.models.spec import ModelSpec

MAX_CHECKPOINT_BYTES = 8 << 30
"""The largest checkpoint that is read: 8 GiB."""

_METADATA_KEY = "rwsstore"
_PICKLED = (".pth", ".pt")


def save_checkpoint(path: str | Path, model: Classifier) -> None:
    """Write a model as safetensors with its specification; the same model gives the same bytes.

    Args:
        path: ends in `.safetensors`; replaced in one step if it exists.
        model: of which every tensor is stored, whatever its device.

    Raises:
        FormatError: `path` ends in something else.
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
    found = _one_spec(path, stored, spec)
    if stored is None:
        state = adapt_names(state, found)
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


def _one_spec(path: Path, stored: ModelSpec | None, given: ModelSpec | None) -> ModelSpec:
    if stored is None:
        if given is None:
            raise ConfigError(
                f"{path} does not say which network it holds. Give a specification: network, "
                "num_classes, and where they differ from the defaults width, batch_norm, folded, "
                "input_size, mean and std."
            )
        return given
    for field in ModelSpec.model_fields if given is not None else ():
        found, wanted = getattr(stored, field), getattr(given, field)
        if found != wanted:
            raise ConfigError(
                f"{path} says {field} = {found!r}, but {wanted!r} was given. Leave the "
                "specification out, or give the file's."
            )
    return stored
