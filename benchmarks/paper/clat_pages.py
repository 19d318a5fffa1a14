"""What the pages of CLAT have in common."""

from collections.abc import Mapping, Sequence

from benchmarks.paper.clat_measuring import MEASURES, Found
from benchmarks.paper.clat_training import Trained
from benchmarks.paper.pages import Table, counted, filled, points, write_page
from benchmarks.paper.study import Study
from rwsstore.training import ClatOptions, TrainingConfig

_PRETRAINED = (
    "Every adversarial training begins at a model trained on the same images, not attacked, for {} "
    "(our own choice). "
)


def write_clat_page(study: Study, recipe: ClatOptions | None = None, **values: object) -> None:
    """Write one page of CLAT; its text may begin with `{about}` and `{recipe}`.

    Args:
        study: whose page it is.
        recipe: of CLAT's runs, told in a sentence.
        values: as in `write_page`.
    """
    settings = study.settings.clat
    training = settings.clean.finetuning if study.name == "clat_clean" else settings.finetuning
    beginning = _PRETRAINED.format(epochs(settings.clean.training)) if settings.pretrained else ""
    about = filled(
        study,
        "clat_about",
        train=len(study.train),
        validation=len(study.validation),
        beginning=beginning,
        steps=counted(settings.adversarial.steps, "step"),
        size=_size(settings.adversarial.step_size),
    )
    told = "" if recipe is None else recipe_words(recipe, training)
    write_page(study, corrupted=False, about=about, recipe=told, **values)


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
