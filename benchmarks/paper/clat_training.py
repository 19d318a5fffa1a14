"""The models of the studies of CLAT: each is trained once, and shared between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from benchmarks.paper.settings import OtherNetwork
from benchmarks.paper.study import Study, with_state
from rwsstore.cpu import ComputeMode
from rwsstore.models import Classifier, build, main_path_convolutions
from rwsstore.probes.criticality import default_count
from rwsstore.training import (
    AdversarialTrainingOptions,
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
    pixel_statistics,
)

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
    """Train a copy of a model, or load it if that was done before; as in `Study.run_of`."""
    done = study.run_of(name, recipe, start, config, whole=True)

    def model(state: Mapping[str, Tensor]) -> Classifier:
        found = with_state(start, state)
        assert isinstance(found, Classifier)  # a copy of one
        # The same float32 sums in another order, faster on a CPU.
        return ComputeMode(channels_last=True).prepare(found)

    return Trained(name, model(done.weights), model(done.best), done.history, done.recipe)


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


def adversarial_recipe(study: Study, method: Method = "pgd_at") -> Recipe:
    """Adversarial training of one kind, at the settings' ε."""
    settings = study.settings.clat
    options: AdversarialTrainingOptions = settings.adversarial
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
    name, recipe = f"{_name(seed, other)}-{method}-{epochs}", adversarial_recipe(study, method)
    return trained(study, name, recipe, begin(study, seed, other), config)


def base_options(study: Study, model: Classifier, recipe: ClatOptions | None = None) -> ClatOptions:
    """CLAT's options with k as a number, so that equal runs have equal options."""
    options = recipe or study.settings.clat.recipe
    layers = len(main_path_convolutions(model))
    return options.model_copy(update={"k": options.k or default_count(layers)})


def clat(
    study: Study,
    seed: int,
    start: Trained,
    *,
    variant: str = "clat",
    recipe: ClatOptions | None = None,
    config: TrainingConfig | None = None,
    **changes: object,
) -> Trained:
    """CLAT on top of the last epoch of a training.

    Args:
        study: whose images are trained on.
        seed: of the run.
        start: what it goes on from.
        variant: what its files are called; equal variants must mean equal options.
        recipe: that of the settings if None.
        config: that of the settings if None.
        changes: fields of the recipe that are otherwise.
    """
    options = base_options(study, start.last, recipe).model_copy(update=changes)
    run = (config or study.settings.clat.finetuning).model_copy(update={"seed": seed})
    return trained(study, f"{start.name}+{variant}", ClatRecipe(options), start.last, run)


def pgd_at_again(study: Study, seed: int, start: Trained, config: TrainingConfig) -> Trained:
    """PGD-AT that goes on where CLAT does, as long and with its schedule."""
    run = config.model_copy(update={"seed": seed})
    return trained(study, f"{start.name}+pgd_at", adversarial_recipe(study), start.last, run)


def clean(study: Study, seed: int, other: OtherNetwork | None = None) -> Trained:
    """The network trained on images that are not attacked."""
    config = study.settings.clat.clean.training.model_copy(update={"seed": seed})
    name = f"{_name(seed, other)}-clean-{config.epochs}"
    return trained(study, name, CleanRecipe(), _random(study, seed, other), config)


def _name(seed: int, other: OtherNetwork | None) -> str:
    return f"clat-s{seed}" if other is None else f"clat-{other.network}-s{seed}"
