"""A run's state between two epochs, on disk, so that an interrupted run goes on where it was."""

__all__ = ["RunState", "load_run", "run_key", "save_run"]

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.errors import ConfigError, FormatError
from rwsstore.files import load_tensors, read_bounded, write_atomic
from rwsstore.training.result import EpochRecord

_LIMIT = 8 * 2**30
_KEY = "rwsstore.run"


@dataclass(frozen=True, eq=False)
class RunState:
    """Everything that the next epoch depends on; its random draws follow from seed and number.

    Attributes:
        key: hash of what defines the run; another run's state is not resumed.
        history: the epochs done.
        weights: the model's state after the last of them.
        momentum: the optimizer's buffers, by parameter name.
        best: the model's state after the best of them.
    """

    key: str
    history: tuple[EpochRecord, ...]
    weights: Mapping[str, Tensor]
    momentum: Mapping[str, Tensor]
    best: Mapping[str, Tensor]


def run_key(*parts: object) -> str:
    """Hash what defines a run: JSON values that must not change between start and resumption."""
    return sha256_hex(canonical_json(parts).encode())


def save_run(path: Path, state: RunState) -> None:
    """Write the state atomically."""
    tensors = {
        f"{group}/{name}": tensor.contiguous()
        for group in ("weights", "momentum", "best")
        for name, tensor in getattr(state, group).items()
    }
    history = [record.model_dump(mode="json") for record in state.history]
    text = canonical_json({"key": state.key, "history": history})
    write_atomic(path, save(tensors, metadata={_KEY: text}))


def load_run(path: Path, key: str) -> RunState | None:
    """Read the state back; None where there is none yet.

    Raises:
        ConfigError: it belongs to a run with other parameters.
        FormatError: it is not a run's state.
    """
    if not path.exists():
        return None
    tensors, header = load_tensors(read_bounded(path, limit=_LIMIT, what=str(path)), what=str(path))
    try:
        document = json.loads(header.metadata[_KEY])
        history = tuple(EpochRecord.model_validate(record) for record in document["history"])
        found = document["key"]
    except (KeyError, TypeError, ValueError):
        raise FormatError(f"{path} is not the state of a training run: delete it") from None
    if found != key:
        raise ConfigError(
            f"{path} belongs to a run with other parameters or data: give this run another folder, "
            "or delete that one to start again"
        )
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "momentum": {}, "best": {}}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor
    return RunState(key, history, **groups)
