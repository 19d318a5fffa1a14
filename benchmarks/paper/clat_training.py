"""The models of the studies of CLAT: each is trained once, and shared between them."""

__all__ = [
    "Trained",
    "adversarial",
    "adversarial_recipe",
    "base_options",
    "begin",
    "clat",
    "clean",
    "trained",
]

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import Tensor

from benchmarks.paper.clat_settings import OtherNetwork
from benchmarks.paper.study import Study
from rwsstore.cpu import ComputeMode
from rwsstore.files import make_folders
from rwsstore.models import Classifier, build, main_path_convolutions
from rwsstore.probes.criticality import default_count
from rwsstore.training import (
    ClatOptions,
    ClatRecipe,
    CleanRecipe,
    EpochRecord,
    FastAtOptions,
    FastAtRecipe,
    PgdAtRecipe,
    Recipe,
    TradesOptions,
    TradesRecipe,
    TrainingConfig,
    fit,
    pixel_statistics,
)
from rwsstore.training.loop import RunState, load_run, save_run

Method = Literal["pgd_at", "fast_at", "trades"]


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training left.

    Attributes:
        name: of its file in the work folder, and of its measurements.
        last: the model after the last epoch, in evaluation mode; what counts in the paper.
        best: the model after the epoch that was best on the validation images.
        history: the epochs.
        state: what the recipe keeps.
    """

    name: str
    last: Classifier
    best: Classifier
    history: tuple[EpochRecord, ...]
    state: Mapping[str, Any]

    @property
    def best_epoch(self) -> int:
        """Number of the epoch that was best, counted from 1."""
        return max(self.history, key=lambda record: record.accuracy).epoch

    @property
    def selected(self) -> ClatRecipe:
        """A recipe that knows what was selected in this run; for runs of CLAT."""
        recipe = ClatRecipe()
        recipe.restore(self.state)
        return recipe


def trained(
    study: Study, name: str, recipe: Recipe, start: Classifier, config: TrainingConfig
) -> Trained:
    """Train a copy of a model on the study's images, or load it if that was done before.

    Raises:
        ConfigError: the file belongs to a run with another start, recipe or config, or with other
            images; it is left as it is.
    """
    path, key = study.work / f"{name}.safetensors", study.run_key_of(recipe, start, config)
    done = load_run(path, key)
    if done is None:
        done = _train(study, name, key, recipe, start, config)
    last, best = (_with_state(start, state) for state in (done.weights, done.best))
    return Trained(name, last, best, done.history, done.recipe)


def _train(
    study: Study, name: str, key: str, recipe: Recipe, start: Classifier, config: TrainingConfig
) -> RunState:
    make_folders(study.work)
    state_file = study.work / f"{name}.state"
    run = partial(
        fit, start, recipe, study.train, study.validation, config, state_file=state_file,
        mode=study.mode(start, config),
    )  # fmt: skip
    last = run(label=name, progress=study.progress, stop_after=config.epochs)
    best = run()  # nothing is left to train: this takes the best epoch from the state
    weights = last.model.state_dict()
    done = RunState(key, last.history, weights, {}, best.model.state_dict(), recipe.state())
    save_run(study.work / f"{name}.safetensors", done)
    state_file.unlink(missing_ok=True)
    return done


def _with_state(start: Classifier, state: Mapping[str, Tensor]) -> Classifier:
    model = copy.deepcopy(start)
    model.load_state_dict(dict(state))
    # The same float32 sums in another order, faster on a CPU.
    return ComputeMode(channels_last=True).prepare(model.eval().requires_grad_(False))


def begin(study: Study, seed: int, other: OtherNetwork | None = None) -> Classifier:
    """Where adversarial training begins: random weights, or the cleanly trained network."""
    if study.settings.clat.pretrained:
        return clean(study, seed, other).last
    return _random(study, seed, other)


def _random(study: Study, seed: int, other: OtherNetwork | None) -> Classifier:
    """The network with random weights; normalized by the training images' statistics."""
    chosen = other or study.settings.clat
    mean, std = pixel_statistics(study.train)
    fields = {
        "network": chosen.network, "width": chosen.width, "batch_norm": True, "folded": False,
        "mean": mean, "std": std,
    }  # fmt: skip
    return build(study.clean.spec.model_copy(update=fields), seed=seed).eval()


def adversarial_recipe(study: Study, method: Method) -> Recipe:
    """Adversarial training of one kind, at the settings' ε."""
    settings, options = study.settings.clat, study.settings.clat.adversarial
    if method == "fast_at":
        return FastAtRecipe(FastAtOptions(epsilon=options.epsilon, judged=options.judged))
    if method == "trades":
        return TradesRecipe(TradesOptions(**options.model_dump(), beta=settings.beta))
    return PgdAtRecipe(options)


def adversarial(
    study: Study,
    seed: int,
    *,
    half: bool = False,
    method: Method = "pgd_at",
    other: OtherNetwork | None = None,
) -> Trained:
    """Adversarial training, of all epochs or of the half."""
    settings = study.settings.clat
    epochs = settings.half if half else settings.training.epochs
    config = settings.training.model_copy(update={"seed": seed, "epochs": epochs})
    name = f"{_name(seed, other)}-{method}-{epochs}"
    return trained(
        study, name, adversarial_recipe(study, method), begin(study, seed, other), config
    )


def base_options(study: Study, model: Classifier, recipe: ClatOptions | None = None) -> ClatOptions:
    """CLAT's options with k as a number, so that equal runs have equal options."""
    options = recipe or study.settings.clat.recipe
    layers = len(main_path_convolutions(model))
    return options.model_copy(update={"k": options.k or default_count(layers)})


def clat(
    study: Study,
    seed: int,
    start: Trained,
    options: ClatOptions | None = None,
    *,
    variant: str = "clat",
    config: TrainingConfig | None = None,
) -> Trained:
    """CLAT on top of the last epoch of a training.

    Args:
        study: whose images are trained on.
        seed: of the run.
        start: what it goes on from.
        options: those of the settings if None.
        variant: what its files are called; equal variants must mean equal options.
        config: that of the settings if None.
    """
    chosen = base_options(study, start.last) if options is None else options
    run = (config or study.settings.clat.finetuning).model_copy(update={"seed": seed})
    return trained(study, f"{start.name}+{variant}", ClatRecipe(chosen), start.last, run)


def clean(study: Study, seed: int, other: OtherNetwork | None = None) -> Trained:
    """The network trained on images that are not attacked."""
    config = study.settings.clat.clean.training.model_copy(update={"seed": seed})
    name = f"{_name(seed, other)}-clean-{config.epochs}"
    return trained(study, name, CleanRecipe(), _random(study, seed, other), config)


def _name(seed: int, other: OtherNetwork | None) -> str:
    return f"clat-s{seed}" if other is None else f"clat-{other.network}-s{seed}"
