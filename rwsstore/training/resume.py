"""A run's state between two epochs, on disk, so that an interrupted run goes on where it was."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from rwsstore.canonical import Digest, canonical_json, sha256_hex
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, FormatError
from rwsstore.files import load_tensors, read_bounded, write_atomic
from rwsstore.models import weights_fingerprint
from rwsstore.training.config import EpochRecord

_LIMIT = 8 * 2**30
_KEY = "rwsstore.run"


@dataclass(frozen=True, eq=False)
class RunState:
    """Everything that the next epoch depends on; its random draws follow from seed and number.

    Attributes:
        key: hash of what defines the run; another run's state is not resumed.
        history: the epochs done.
        weights: the model's state after the last of them.
        slots: the optimizer's tensors, as "slot/parameter".
        best: the model's state after the best of them.
        recipe: what the recipe keeps, as JSON values.
    """

    key: str
    history: tuple[EpochRecord, ...]
    weights: Mapping[str, Tensor]
    slots: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    recipe: Mapping[str, Any] = field(default_factory=dict)


def run_key(*parts: object) -> str:
    """Hash what defines a run: JSON values that must not change between start and resumption."""
    return sha256_hex(canonical_json(parts).encode())


def images_digest(images: ImageSet) -> Digest:
    """Hash a set's images and labels, in their order."""
    digest = hashlib.sha256(canonical_json(list(images.images.shape)).encode())
    for tensor in (images.images, images.labels):
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def beside(path: Path | None, word: str) -> Path | None:
    """Name the file of a run's part: the whole run's, with a word behind it."""
    return None if path is None else path.with_name(f"{path.name}.{word}")


def save_run(path: Path, state: RunState) -> None:
    """Write the state atomically."""
    tensors = {
        # Cloned, since safetensors refuses the tensors of tied parameters.
        f"{group}/{name}": tensor.clone(memory_format=torch.contiguous_format)
        for group in ("weights", "slots", "best")
        for name, tensor in getattr(state, group).items()
    }
    document = {
        "key": state.key,
        "history": [record.model_dump(mode="json") for record in state.history],
        "tensors": weights_fingerprint(tensors),
        "recipe": state.recipe,
    }
    write_atomic(path, save(tensors, metadata={_KEY: canonical_json(document)}))


def load_run(path: Path, key: str) -> RunState | None:
    """Read the state back; None where there is none yet.

    Raises:
        ConfigError: it belongs to a run with other parameters.
        FormatError: it is not a run's state, or damaged.
    """
    if not path.exists():
        return None
    tensors, header = load_tensors(read_bounded(path, limit=_LIMIT, what=str(path)), what=str(path))
    try:
        document = json.loads(header.metadata[_KEY])
        history = tuple(EpochRecord.model_validate(record) for record in document["history"])
        found, fingerprint = document["key"], document["tensors"]
        recipe = dict(document["recipe"])
    except (KeyError, TypeError, ValueError):
        raise FormatError(f"{path} is not the state of a training run: delete it") from None
    if found != key:
        raise ConfigError(
            f"{path} belongs to a run with other parameters or data: give this run another folder, "
            "or delete that one to start again"
        )
    if weights_fingerprint(tensors) != fingerprint:
        raise FormatError(f"{path} is damaged, its tensors are not those written: delete it")
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "slots": {}, "best": {}}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor
    return RunState(key, history, **groups, recipe=recipe)
