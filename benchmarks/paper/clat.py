"""CLAT on a small network: its models, each trained once for all tables; their measuring and pages.

Which test images the models get right, clean and under attack, is kept beside their weights.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn

from benchmarks.paper import pages
from benchmarks.paper.pages import counted, table
from benchmarks.paper.study import Study, faster, with_state
from rwsstore import training
from rwsstore.attacks import Apgd, Attack, Pgd
from rwsstore.canonical import key_part
from rwsstore.data import ImageSet
from rwsstore.files import Results
from rwsstore.measure import Figure, Grid, Resampling
from rwsstore.measure.adversarial import NO_ATTACK, WORST_CASE, AdversarialOptions, attack_grid
from rwsstore.models import Classifier, main_path_convolutions, weights_fingerprint
from rwsstore.probes.criticality import default_count
from rwsstore.training import ClatOptions, ClatRecipe, EpochRecord, Recipe, TrainingConfig
from rwsstore.training.loop import images_digest

Method = Literal["pgd_at", "fast_at", "trades"]

MEASURES = ("clean", "pgd", "apgd", "worst")
"""Accuracy on clean images, under PGD, under APGD-CE, and of what all three leave right."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training left, by the name of its files in the work folder."""

    name: str
    last: Classifier  # after the last epoch, which counts in the paper
    best: Classifier  # after the epoch that was best on the validation images
    history: tuple[EpochRecord, ...]
    state: Mapping[str, Any]  # what the recipe keeps

    @property
    def best_epoch(self) -> int:
        return max(self.history, key=lambda record: record.accuracy).epoch

    @property
    def stopped_early(self) -> "Trained":
        """The same, had it ended at its best epoch."""
        return replace(self, name=f"{self.name}-best", last=self.best)

    @property
    def selected(self) -> ClatRecipe:
        """A recipe that knows what was selected in this run; for runs of CLAT."""
        recipe = ClatRecipe()
        recipe.restore(self.state)
        return recipe


Runs = Mapping[str, Sequence[Trained]]
"""The trainings of a table by arm, one a seed."""


def trained(
    study: Study, name: str, recipe: Recipe, start: Classifier, config: TrainingConfig
) -> Trained:
    done = study.run_of(name, recipe, start, config, whole=True)

    def model(state: Mapping[str, Tensor]) -> Classifier:
        return faster(with_state(start, state))

    return Trained(name, model(done.weights), model(done.best), done.history, done.recipe)


def begin(study: Study, seed: int) -> Classifier:
    """Where adversarial training begins: random weights, or the cleanly trained network."""
    return clean(study, seed).last if study.settings.clat.pretrained else _random(study, seed)


def _random(study: Study, seed: int) -> Classifier:
    """The network with random weights; normalized by the training images' statistics."""
    settings = study.settings.clat
    mean, std = training.pixel_statistics(study.train)
    fields = {"network": settings.network, "width": settings.width, "mean": mean, "std": std}
    return study.untrained(seed, **fields)


def clean(study: Study, seed: int) -> Trained:
    """The network trained on images that are not attacked."""
    config = study.settings.clat.clean.training.model_copy(update={"seed": seed})
    name = f"clat-s{seed}-clean-{config.epochs}"
    return trained(study, name, training.CleanRecipe(), _random(study, seed), config)


def _adversarial_recipe(study: Study, method: Method = "pgd_at") -> Recipe:
    """Adversarial training of one kind, at the settings' ε."""
    options, beta = study.settings.clat.adversarial, study.settings.clat.beta
    if method == "fast_at":
        fast = training.FastAtOptions(epsilon=options.epsilon, judged=options.judged)
        return training.FastAtRecipe(fast)
    if method == "trades":
        return training.TradesRecipe(training.TradesOptions(**options.model_dump(), beta=beta))
    return training.PgdAtRecipe(options)


def adversarial(
    study: Study, seed: int, *, half: bool = False, method: Method = "pgd_at"
) -> Trained:
    """Adversarial training, of all epochs or of the half."""
    settings = study.settings.clat
    epochs = settings.half if half else settings.training.epochs
    config = settings.training.model_copy(update={"seed": seed, "epochs": epochs})
    name, recipe = f"clat-s{seed}-{method}-{epochs}", _adversarial_recipe(study, method)
    return trained(study, name, recipe, begin(study, seed), config)


def pgd_at_again(study: Study, seed: int, start: Trained, config: TrainingConfig) -> Trained:
    """PGD-AT that goes on where CLAT does, as long and with its schedule."""
    run = config.model_copy(update={"seed": seed})
    return trained(study, f"{start.name}+pgd_at", _adversarial_recipe(study), start.last, run)


def base_options(study: Study, model: Classifier, recipe: ClatOptions | None = None) -> ClatOptions:
    """CLAT's options with k as a number, so that equal runs have equal options."""
    options = recipe or study.settings.clat.recipe
    layers = len(main_path_convolutions(model))
    return options.model_copy(update={"k": options.k or default_count(layers)})


def finetuned(
    study: Study,
    seed: int,
    start: Trained,
    *,
    variant: str = "clat",
    recipe: ClatOptions | None = None,
    config: TrainingConfig | None = None,
    **changes: object,
) -> Trained:
    """CLAT on top of a training's last epoch; recipe and config are those of the settings if None.

    The variant is what its files are called; equal variants must mean equal options.
    """
    options = base_options(study, start.last, recipe).model_copy(update=changes)
    run = (config or study.settings.clat.finetuning).model_copy(update={"seed": seed})
    return trained(study, f"{start.name}+{variant}", ClatRecipe(options), start.last, run)


class Compared:
    """Accuracies of arms in percent, all with the same draws of the images; named as rows."""

    def __init__(self, study: Study, runs: Runs, names: Mapping[str, str]) -> None:
        settings = study.settings
        self.study, self.runs, self.names = study, runs, names
        self.grid: Grid[tuple[str, int], str] = Grid(
            Resampling(settings.clat.evaluation.resamples, seed=settings.seed)
        )
        with study.progress.task("models measured", total=sum(map(len, runs.values()))) as task:
            for arm, each in runs.items():
                for seed, run in enumerate(each):
                    for measure, row in rows_of(study, run).items():
                        share = self.grid.put((arm, seed), measure, row)
                    task.advance(note=f"{arm}, {run.name}: {share:.1f} % under attack")

    def figure(self, arm: str, measure: str) -> Figure:
        """The mean over an arm's seeds."""
        return self.grid.mean([(arm, seed) for seed in range(len(self.runs[arm]))], [measure])

    def gain(self, arm: str, over: str, measure: str) -> Figure:
        """Points that one arm is above another, in the mean over the seeds."""
        return self.figure(arm, measure) - self.figure(over, measure)

    def __getitem__(self, claim: str) -> pages.Gain:
        """A gain in a page's text: "clat over whole, worst", or "clat not below whole, clean"."""
        arms, measure = claim.split(", ")
        arm, word, over = re.split(" (over|not below) ", arms)
        return pages.Gain(self.gain(arm, over, measure), strictly=word == "over")

    def gains(self, arm: str, over: Iterable[str]) -> dict[str, Any]:
        """Points that an arm is above others, clean and in the worst case, as JSON values."""
        return {
            other: {
                measure: pages.figure_json(self.gain(arm, other, measure))
                for measure in ("clean", "worst")
            }
            for other in over
        }

    def headlines(self) -> dict[str, Any]:
        arms = {
            arm: {measure: pages.figure_json(self.figure(arm, measure)) for measure in MEASURES}
            for arm in self.runs
        }
        return {"images": len(self.study.test), "arms": arms}

    def accuracies(self, title: str, arms: Iterable[str] | None = None) -> str:
        """One row an arm, one column a measure; of all arms, or of some."""
        rows = [
            [self.names[arm], *(self.figure(arm, measure) for measure in MEASURES)]
            for arm in (self.names if arms is None else arms)
        ]
        return table(self._columns, rows, title)

    def above(self, arm: str, over: Iterable[str], title: str) -> str:
        """How far one arm is above others, in points."""
        rows = [
            [
                self.names[other],
                *(pages.points(self.gain(arm, other, measure)) for measure in MEASURES),
            ]
            for other in over
        ]
        return table(self._columns, rows, title)

    @property
    def _columns(self) -> list[str]:
        steps = self.study.settings.clat.evaluation
        attacks = [f"PGD-{steps.pgd_steps}", f"APGD-CE, {steps.apgd_steps} steps"]
        return ["", "clean", *attacks, "worst"]


def rows_of(study: Study, run: Trained) -> dict[str, Tensor]:
    """Which test images one model gets right, bool [N] by measure; kept beside its weights.

    A file of another model, other images or other attacks is refused.
    """
    steps = study.settings.clat.evaluation
    attacks = attacks_of(study.settings.clat.epsilon, steps.pgd_steps, steps.apgd_steps)
    identity = {
        "weights": weights_fingerprint(run.last.state_dict()),
        "images": images_digest(study.test),
        "attacks": {
            name: key_part(attack.name, asdict(attack)) for name, attack in attacks.items()
        },
        "seed": study.settings.seed,
    }
    results = Results(study.work / f"{run.name}.measured.json", identity)
    return stood(study, results, run.name, run.last, study.test, attacks)


def attacks_of(epsilon: float, pgd_steps: int, apgd_steps: int) -> dict[str, Attack]:
    return {"pgd": Pgd(epsilon, steps=pgd_steps), "apgd": Apgd(epsilon, steps=apgd_steps)}


def stood(
    study: Study, results: Results, name: str, model: nn.Module, images: ImageSet,
    attacks: Mapping[str, Attack],
) -> dict[str, Tensor]:  # fmt: skip
    """Which images a model gets right "clean", under each attack, and in all cases: "worst"."""
    epsilon = next(iter(attacks.values())).epsilon
    options = AdversarialOptions((epsilon,), seed=study.settings.seed, resamples=0)
    grid = attack_grid(
        {name: model}, attacks, images, options, results=results, progress=study.progress
    )
    cells = {attack: (attack, epsilon) for attack in attacks} | {"worst": (WORST_CASE, epsilon)}
    rows = {measure: grid.right((name, name), [cell]) for measure, cell in cells.items()}
    return {"clean": grid.right(("", name), [NO_ATTACK]), **rows}


def write_page(study: Study, recipe: ClatOptions | None = None, **values: object) -> None:
    """Write one page of CLAT; its text may begin with `{about}` and `{recipe}`, in a sentence."""
    settings, beginning = study.settings.clat, ""
    run = settings.clean.finetuning if study.name == "clat_clean" else settings.finetuning
    if settings.pretrained:
        beginning = pages.filled(study, "clat_begun") + " "
    size = _size(settings.adversarial.step_size)
    about = pages.filled(study, "clat_about", beginning=beginning, size=size)
    told = "" if recipe is None else _recipe_words(study, recipe, run)
    pages.write_page(study, corrupted=False, about=about, recipe=told, **values)


def _recipe_words(study: Study, recipe: ClatOptions, run: TrainingConfig) -> str:
    count, noun = recipe.every_steps, "step"
    if count is None:
        count, noun = recipe.every or 1, "epoch"
    again = f"every {noun}" if count == 1 else f"every {count:,} {noun}s"
    inner = "one step"
    if not recipe.fast:
        inner = f"{counted(recipe.steps, 'step')} of {_size(recipe.step_size)}"
    if recipe.inner != "features":
        inner += " on the loss (our own choice)"
    if recipe.perturbed:
        inner += pages.filled(study, "clat_perturbed", share=recipe.perturbed)
    return pages.filled(study, "clat_recipe", recipe=recipe, run=run, again=again, inner=inner)


def _size(step: float | None) -> str:
    return "2.5·ε/steps" if step is None else f"{step:g}"


def selections(runs: Runs, title: str) -> str:
    """What trained in each run of CLAT: one row a run."""
    rows = []
    for name, each in runs.items():
        for seed, run in enumerate(each):
            recipe = run.selected
            ever = {layer for one in recipe.selections for layer in one.layers}
            first = [one.removeprefix("network.") for one in recipe.selections[0].layers]
            shown = ", ".join([*first[:4], "…"] if len(first) > 4 else first)
            label, share = f"{name}, seed {seed}", f"{recipe.mean_share:.1%}"
            counts = [len(recipe.selections), len(first), len(ever)]
            rows.append([label if len(each) > 1 else name, *counts, share, shown])
    header = ["", "selections", "k", "layers ever", "parameters trained, mean", "first selection"]
    return table(header, rows, title)
