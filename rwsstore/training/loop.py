"""A run's state between two epochs, on disk, so that an interrupted run goes on where it was."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from rwsstore.canonical import Digest, canonical_json, derive_seed, key_part, sha256_hex
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet, batches, random_crop_flip
from rwsstore.errors import ConfigError, FormatError, TensorError
from rwsstore.files import load_tensors, read_bounded, write_atomic
from rwsstore.models import freeze_batchnorm, weights_fingerprint
from rwsstore.progress import SILENT, Reporter, Task
from rwsstore.training.config import EpochRecord, TrainingConfig, TrainingResult, learning_rate
from rwsstore.training.recipes.base import Recipe

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


def fit(
    model: nn.Module,
    recipe: Recipe,
    train: ImageSet,
    validation: ImageSet,
    config: TrainingConfig,
    *,
    label: str = "",
    state_file: Path | None = None,
    mode: ComputeMode | None = None,
    stop_after: int | None = None,
    progress: Reporter = SILENT,
) -> TrainingResult:
    """Train a copy of a model.

    Args:
        model: where training starts; left as it is.
        recipe: what trains, on which images, towards what.
        train: images to train on.
        validation: images on which the best epoch is chosen; none of them may be in `train`.
        config: the run's parameters.
        label: what the progress bars call the run.
        state_file: where the run's state is kept after every epoch; an interrupted run goes on
            from there, to the same result as one that was not (in the same mode).
        mode: bf16 and channels_last, or not; plain float32 by default.
        stop_after: end after so many epochs of the schedule, for an early checkpoint.
        progress: where to report.

    Returns:
        The network of the best epoch (of the last one, with `stop_after`).

    Raises:
        ConfigError: nothing to train, `stop_after` below 1, `state_file` belongs to another run
            or is beyond `stop_after`, or BatchNorm is given a batch of a single value.
        FormatError: `state_file` is no run's state, or damaged.
        TensorError: the loss became NaN or infinite.
    """
    if stop_after is not None and stop_after < 1:
        raise ConfigError(f"stop_after is {stop_after}; expected 1 or more epochs")
    run = _Run(model, recipe, train, validation, config, mode or ComputeMode(), label)
    run.resume(state_file)
    last = config.epochs if stop_after is None else min(stop_after, config.epochs)
    if len(run.history) > last:
        raise ConfigError(
            f"{state_file} is {len(run.history)} epochs on, and {last} are asked for: give this "
            "run another file, or delete that one to start again"
        )
    with progress.task(label or recipe.name, total=last * run.steps) as task:
        task.advance(len(run.history) * run.steps)
        while len(run.history) < last:
            run.train_epoch(task)
            if state_file is not None:
                save_run(state_file, run.state())
    return run.result(best=stop_after is None)


class _Run:
    """One run between two epochs."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        train: ImageSet,
        validation: ImageSet,
        config: TrainingConfig,
        mode: ComputeMode,
        label: str,
    ) -> None:
        self.recipe, self.train, self.config, self.mode = recipe, train, config, mode
        self.validation, self.label = validation, label or recipe.name
        self.key = run_key(
            key_part(recipe.name, recipe.options()),
            config.model_dump(mode="json"),
            weights_fingerprint(model.state_dict()),
            [[data.name, images_digest(data)] for data in (train, validation)],
        )
        self.model = mode.prepare(copy.deepcopy(model))
        names = recipe.trainable(self.model)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in names)
        self.trained = {n: p for n, p in self.model.named_parameters() if n in names}
        if not self.trained:
            raise ConfigError(f"recipe {recipe.name!r} trains no parameter of this model")
        self.optimizer = self._optimizer()
        self.history: tuple[EpochRecord, ...] = ()
        self.best: dict[str, Tensor] = {}
        seed = derive_seed(config.seed, "validation")
        indices = torch.arange(len(validation))
        self.shown = recipe.show(validation.images, indices, seed)
        self.steps = -(-len(train) // config.batch_size)

    def _optimizer(self) -> torch.optim.Optimizer:
        matrices = [p for p in self.trained.values() if p.dim() > 1]
        vectors = [p for p in self.trained.values() if p.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        momentum = self.config.momentum
        if self.config.optimizer == "rmsprop":
            return torch.optim.RMSprop(groups, lr=0.0, momentum=momentum)
        return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=momentum > 0)

    def resume(self, path: Path | None) -> None:
        """Take up the state of an interrupted run, if there is one."""
        state = load_run(path, self.key) if path is not None else None
        if state is None:
            return
        self.model.load_state_dict(dict(state.weights))
        for key, tensor in state.slots.items():
            slot, _, name = key.partition("/")
            self.optimizer.state[self.trained[name]][slot] = tensor.clone()
        self.history, self.best = state.history, dict(state.best)
        self.recipe.restore(state.recipe)

    def state(self) -> RunState:
        """What `resume` needs."""
        slots = {
            f"{slot}/{name}": tensor
            for name, parameter in self.trained.items()
            for slot, tensor in self.optimizer.state[parameter].items()
            if isinstance(tensor, Tensor)
        }
        weights, recipe = self.model.state_dict(), self.recipe.state()
        return RunState(self.key, self.history, weights, slots, self.best, recipe)

    def train_epoch(self, task: Task) -> None:
        """One pass over the training images, then accuracy on the validation images."""
        epoch = len(self.history) + 1
        self.model.eval()
        seed = derive_seed(self.config.seed, "recipe", epoch)
        self.recipe.begin_epoch(self.model, self.train, epoch, seed)
        self._activate(epoch)
        # Dropout draws from torch's global generator: seeded for the epoch, and put back after it.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self.config.seed, "dropout", epoch))
            loss = self._pass(epoch, task)
        self.model.eval()
        seed, right = derive_seed(self.config.seed, "score"), self.validation.labels
        with self.mode.autocast():
            found = self.recipe.score(self.model, self.shown, right, seed)
        terms = self.recipe.terms()
        parts = "".join(f", {name} {value:.3f}" for name, value in terms.items())
        task.advance(0, note=f"epoch {epoch}: loss {loss:.3f}{parts}, validation {found:.1f} %")
        if not self.history or found > max(record.accuracy for record in self.history):
            state = self.model.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.history += (EpochRecord(epoch=epoch, loss=loss, accuracy=found, terms=terms),)

    def _activate(self, epoch: int) -> None:
        active = self.recipe.active(self.model)
        if active.isdisjoint(self.trained):
            raise ConfigError(f"recipe {self.recipe.name!r} trains no parameter in epoch {epoch}")
        for name, parameter in self.trained.items():
            parameter.requires_grad_(name in active)

    def _pass(self, epoch: int, task: Task) -> float:
        self.model.train()
        if self.recipe.freeze_batchnorm:
            freeze_batchnorm(self.model)
        seed = derive_seed(self.config.seed, "images", epoch)
        order = torch.Generator().manual_seed(derive_seed(self.config.seed, "order", epoch))
        crops = torch.Generator().manual_seed(derive_seed(self.config.seed, "crops", epoch))
        total, done = 0.0, (epoch - 1) * self.steps
        for indices in batches(len(self.train), self.config.batch_size, shuffle=order):
            images = self.recipe.show(self.train.images[indices], indices, seed)
            images = augmented(images, self.config, crops)
            drawn = derive_seed(self.config.seed, "step", done)
            if self.recipe.begin_step(self.model, done, drawn):
                self._activate(epoch)
            loss = self._step(images, self.train.labels[indices], done)
            total, done = total + loss * len(indices), done + 1
            task.advance()
        return total / len(self.train)

    def _step(self, images: Tensor, labels: Tensor, done: int) -> float:
        config = self.config
        rate = learning_rate(
            done, self.steps * config.epochs, peak=config.learning_rate, warmup=config.warmup
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        try:
            with self.mode.autocast():
                value = self.recipe.descend(self.model, images, labels, config.label_smoothing)
        except ValueError as error:
            if len(images) > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                f"{self.label}: BatchNorm needs more than one value a channel, and the last batch "
                f"of the {len(self.train)} images has a single one: use another batch size than "
                f"{config.batch_size}"
            ) from None
        if not value < float("inf"):
            raise TensorError(
                f"{self.label}: the loss became {value} at step {done + 1}; nothing was saved of "
                f"this epoch. Try a learning rate below {config.learning_rate:g}."
            )
        if config.clip_norm:
            nn.utils.clip_grad_norm_(self.trained.values(), config.clip_norm)
        self.optimizer.step()
        return value

    def result(self, *, best: bool) -> TrainingResult:
        """The finished run."""
        model = copy.deepcopy(self.model)
        for parameter in model.parameters():
            parameter.data = parameter.data.contiguous()
        if best:
            model.load_state_dict(self.best)
        model.eval().requires_grad_(False)
        chosen = max(self.history, key=lambda record: record.accuracy) if best else self.history[-1]
        return TrainingResult(model, chosen, self.history)


def augmented(images: Tensor, config: TrainingConfig, generator: torch.Generator) -> Tensor:
    """Crop and flip a batch as a run's parameters say."""
    if not (config.padding or config.flip):
        return images
    return random_crop_flip(images, padding=config.padding, flip=config.flip, generator=generator)
