"""What the pages of CLAT have in common."""

from collections.abc import Mapping, Sequence

from benchmarks.paper.clat_measuring import MEASURES, Found
from benchmarks.paper.clat_training import Trained
from benchmarks.paper.pages import Table, counted, points
from benchmarks.paper.study import Study
from rwsstore.training import ClatOptions, TrainingConfig


def about(study: Study) -> str:
    """The network, the images, the budget and the measurements."""
    settings = study.settings.clat
    options, steps = settings.adversarial, settings.evaluation
    beginning = ""
    if settings.pretrained:
        beginning = (
            "Every adversarial training begins at a model trained on the same images, not "
            f"attacked, for {epochs(settings.clean.training)} (our own choice). "
        )
    return (
        f"Gopal et al., arXiv:2408.10204, in kind: {settings.network} at width {settings.width:g} "
        f"with BatchNorm, {len(study.train):,} training images of {study.train.name}, as many of "
        f"each class, {len(study.validation):,} more to choose by. {beginning}"
        f"ε = {settings.epsilon:g} (L∞); "
        f"PGD-AT with {counted(options.steps, 'step')} of {_size(options.step_size)}, cosine to "
        "zero in every run; as in the "
        "paper the model after the last epoch counts, unless said. Attacks have one random start, "
        f"PGD {steps.pgd_steps} steps, APGD-CE {steps.apgd_steps}; worst: right without an attack "
        "and under both. Intervals are 95 % bootstrap intervals over the test images, with the "
        "same draws for all models: they do not tell how other trainings would have come out."
    )


def recipe_words(recipe: ClatOptions, training: TrainingConfig) -> str:
    """CLAT's settings in a sentence."""
    count, noun = recipe.every_steps, "step"
    if count is None:
        count, noun = recipe.every or 1, "epoch"
    again = f"every {noun}" if count == 1 else f"every {count:,} {noun}s"
    mixed = (
        f", {recipe.perturbed:.0%} of the cross-entropy taken at x + δ (our own choice; none in "
        "the paper)"
        if recipe.perturbed
        else ""
    )
    inner = f"{counted(recipe.steps, 'step')} of {_size(recipe.step_size)}"
    raised = "" if recipe.inner == "features" else " on the loss (our own choice)"
    return (
        f"CLAT: {epochs(training)} at a learning rate of {training.learning_rate:g}, k = "
        f"{recipe.k}, selected again {again} on {recipe.images} training images, λ = "
        f"{recipe.strength:g}, inner maximization of {'one step' if recipe.fast else inner}"
        f"{raised}{mixed}."
    )


def _size(step: float | None) -> str:
    return "2.5·ε/steps" if step is None else f"{step:g}"


def epochs(count: int | TrainingConfig) -> str:
    """1 epoch, 2 epochs."""
    return counted(count.epochs if isinstance(count, TrainingConfig) else count, "epoch")


def _columns(study: Study) -> list[str]:
    steps = study.settings.clat.evaluation
    return ["", "clean", f"PGD-{steps.pgd_steps}", f"APGD-CE, {steps.apgd_steps} steps", "worst"]


def accuracies(study: Study, found: Found, names: Mapping[str, str], title: str) -> Table:
    """One row an arm, one column a measure."""
    rows = [
        [name, *(found.figure(arm, measure) for measure in MEASURES)] for arm, name in names.items()
    ]
    return Table(_columns(study), rows, title)


def gains(study: Study, found: Found, arm: str, over: Mapping[str, str], title: str) -> Table:
    """How far one arm is above others, in points."""
    rows = [
        [name, *(points(found.gain(arm, other, measure)) for measure in MEASURES)]
        for other, name in over.items()
    ]
    return Table(_columns(study), rows, title)


def selections(runs: Mapping[str, Sequence[Trained]], title: str) -> Table:
    """What trained in each run of CLAT: one row a run."""
    rows = []
    for name, each in runs.items():
        for seed, run in enumerate(each):
            recipe = run.selected
            ever = {layer for one in recipe.selections for layer in one.layers}
            first = recipe.selections[0].layers
            names = [layer.removeprefix("network.") for layer in first[:4]]
            rows.append(
                [
                    name if len(each) == 1 else f"{name}, seed {seed}",
                    len(recipe.selections),
                    len(first),
                    len(ever),
                    f"{recipe.mean_share:.1%}",
                    ", ".join(names) + ("" if len(first) <= 4 else ", …"),
                ]
            )
    header = ["", "selections", "k", "layers ever", "parameters trained, mean", "first selection"]
    return Table(header, rows, title)
