"""What the pages of CLAT have in common."""

__all__ = ["about", "accuracies", "epochs", "gains", "recipe_words", "selections", "words"]

from collections.abc import Mapping, Sequence

from benchmarks.paper.clat_measuring import MEASURES, Found, points, told
from benchmarks.paper.clat_settings import ClatSettings
from benchmarks.paper.clat_training import Trained
from benchmarks.paper.pages import Table
from benchmarks.paper.study import Study
from rwsstore.training import ClatOptions, TrainingConfig


def words(study: Study) -> dict[str, str]:
    """The measures as columns."""
    steps = study.settings.clat.evaluation
    return {
        "clean": "clean",
        "pgd": f"PGD-{steps.pgd_steps}",
        "apgd": f"APGD-CE, {steps.apgd_steps} steps",
        "worst": "worst",
    }


def about(study: Study) -> str:
    """The network, the images, the budget and the measurements."""
    settings = study.settings.clat
    options, steps = settings.adversarial, settings.evaluation
    size = _step(options.step_size)
    return (
        f"Gopal et al., arXiv:2408.10204, in kind: {settings.network} at width {settings.width:g} "
        f"with BatchNorm, {len(study.train):,} training images of {study.train.name}, as many of "
        f"each class, {len(study.validation):,} more to choose by. {_beginning(settings)}"
        f"ε = {settings.epsilon:g} (L∞); "
        f"PGD-AT with {_steps(options.steps)} of {size}, cosine to zero in every run; as in the "
        "paper the model after the last epoch counts, unless said. Attacks have one random start, "
        f"PGD {steps.pgd_steps} steps, APGD-CE {steps.apgd_steps}; worst: right without an attack "
        "and under both. Intervals are 95 % bootstrap intervals over the test images, with the "
        "same draws for all models: they do not tell how other trainings would have come out."
    )


def _beginning(settings: ClatSettings) -> str:
    if not settings.pretrained:
        return ""
    return (
        "Every adversarial training begins at a model trained on the same images, not attacked, "
        f"for {epochs(settings.clean.training)} (our own choice). "
    )


def recipe_words(recipe: ClatOptions, training: TrainingConfig) -> str:
    """CLAT's settings in a sentence."""
    again = (
        _every(recipe.every or 1, "epoch")
        if recipe.every_steps is None
        else _every(recipe.every_steps, "step")
    )
    mixed = (
        f", {recipe.perturbed:.0%} of the cross-entropy taken at x + δ (our own choice; none in "
        "the paper)"
        if recipe.perturbed
        else ""
    )
    inner = "one step" if recipe.fast else f"{_steps(recipe.steps)} of {_step(recipe.step_size)}"
    raised = "" if recipe.inner == "features" else " on the loss (our own choice)"
    return (
        f"CLAT: {epochs(training.epochs)} at a learning rate of {training.learning_rate:g}, k = "
        f"{recipe.k}, selected again {again} on {recipe.images} training images, λ = "
        f"{recipe.strength:g}, inner maximization of {inner}{raised}{mixed}."
    )


def _every(count: int, noun: str) -> str:
    return f"every {noun}" if count == 1 else f"every {count:,} {noun}s"


def _steps(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}"


def _step(size: float | None) -> str:
    return "2.5·ε/steps" if size is None else f"{size:g}"


def epochs(count: int | TrainingConfig) -> str:
    """1 epoch, 2 epochs."""
    number = count.epochs if isinstance(count, TrainingConfig) else count
    return f"{number} epoch{'' if number == 1 else 's'}"


def accuracies(study: Study, found: Found, names: Mapping[str, str], title: str) -> Table:
    """One row an arm, one column a measure."""
    rows = [
        [name, *(told(found.figures[arm][measure]) for measure in MEASURES)]
        for arm, name in names.items()
    ]
    return Table(["", *words(study).values()], rows, title=title)


def gains(study: Study, found: Found, arm: str, over: Mapping[str, str], title: str) -> Table:
    """How far one arm is above others, in points."""
    rows = [
        [name, *(points(found.gain(arm, other, measure)) for measure in MEASURES)]
        for other, name in over.items()
    ]
    return Table(["", *words(study).values()], rows, title=title)


def selections(runs: Mapping[str, Sequence[Trained]], title: str) -> Table:
    """What trained in each run of CLAT: one row a run."""
    rows = []
    for name, each in runs.items():
        for place, run in enumerate(each):
            recipe = run.selected
            ever = {layer for one in recipe.selections for layer in one.layers}
            first = recipe.selections[0].layers
            rows.append(
                [
                    name if len(each) == 1 else f"{name}, seed {place}",
                    str(len(recipe.selections)),
                    str(len(first)),
                    str(len(ever)),
                    f"{recipe.mean_share:.1%}",
                    ", ".join(layer.removeprefix("network.") for layer in first[:4])
                    + ("" if len(first) <= 4 else ", …"),
                ]
            )
    header = ["", "selections", "k", "layers ever", "parameters trained, mean", "first selection"]
    return Table(header, rows, title=title)
