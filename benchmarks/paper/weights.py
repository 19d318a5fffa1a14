"""Models that went on training so that their weights may fail, and what is left when they do.

Table 2 of the study of parameter corruption (Sun et al., AAAI 2021), in kind: the clean model goes
on training for a few epochs, plainly or with the recipe `corruption_resistant`; then all parameters
are corrupted along the gradient, ever further.

Hessian-aware training against flipped bits, beside plain training, L2 and SAM: four ways that
differ in one thing each. Then the exponent's top bit of the same weights is flipped in each, one at
a time: the bits that cost 90 to 100 % of the accuracy above chance are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn

from benchmarks.paper import pages
from benchmarks.paper.pages import COLOURS, LINE, holds, table
from benchmarks.paper.study import Study
from rwsstore import training
from rwsstore.measure import Figure, Resampling, accuracy, bootstrap
from rwsstore.models import ordered_layers
from rwsstore.patches import Patch
from rwsstore.probes import parameter_corruption
from rwsstore.probes.bitflips import StoredWeights, sample_sites, survey

_HALVINGS = 12
"""Of the interval in which the plain run's ε is looked for."""

SEVERE, ERRATIC = 0.9, 0.1
"""Shares of the accuracy above chance, and of the accuracy, from which a flip counts."""

_ENOUGH = 20
"""Flips in a layer, from which its share is shown."""

REQUIRED, TA_MARGIN = 0.8, 1.0
"""At most this share of plain training's severe flips, at most so many points of TA below it."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that is measured; with a patch on, of so many bytes, or a whole model: None."""

    study: Study
    name: str
    key: str
    model: nn.Module
    payload: int | None = None

    @property
    def ta(self) -> float:
        """Accuracy with nothing done to it, in percent."""
        return self.study.seen(f"{self.key}/ta", self.model)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def patches(cls, study: Study, trained: nn.Module, kind: Any, bits: int) -> list[Self]:
        """The clean model with the difference to a trained one on, and with the bundled patch."""
        own = study.difference(trained, kind=kind, bits=bits)
        found = [(f"the same as a patch, {bits} bits", "patch", own)]
        if (bundled := study.bundled(kind)) is not None:
            found.append((cls.described(bundled), "bundled", bundled))
        return [
            cls(study, name, key, study.patched(patch).module, patch.payload_bytes)
            for name, key, patch in found
        ]

    @classmethod
    def described(cls, patch: Patch) -> str:
        """What the row of a bundled patch is called."""
        return f"bundled patch, {len(patch.metadata.layers)} layers, {patch.metadata.bits} bits"


class Corrupted(Subject):
    @classmethod
    def described(cls, patch: Patch) -> str:
        made = {} if patch.metadata.recipe is None else patch.metadata.recipe.parameters
        strength, epsilon = patch.metadata.alpha.recommended, made.get("set.epsilon")
        return f"{super().described(patch)}, trained at ε = {epsilon}, strength {strength:g}"

    @cached_property
    def gradient(self) -> parameter_corruption.LossGradient:
        """On training images, as the paper takes it."""
        study = self.study
        images = study.some(study.train, study.settings.corruption_resistant.gradient_images)
        sample = parameter_corruption.Sample.of(self.model, images.images, images.labels)
        return parameter_corruption.loss_gradient(self.model, sample, progress=study.progress)

    @property
    def loss(self) -> float:
        """Mean cross-entropy on the training images that the gradient is taken on."""
        return self.study.results.number(f"{self.key}/loss", lambda: self.gradient.loss)

    def corrupted(self, epsilon: float) -> float:
        """Accuracy under the gradient-based corruption of all parameters, p = 2, in percent."""

        def found() -> float:
            constraint = parameter_corruption.Constraint(epsilon)
            corruption = parameter_corruption.gradient_corruption(self.gradient.tensors, constraint)
            changed = parameter_corruption.corrupted_copy(self.model, corruption)
            return accuracy(changed, self.study.test.images, self.study.test.labels)

        return self.study.results.number(f"{self.key}/{epsilon!r}", found)


def corrupted_subjects(study: Study) -> list[Corrupted]:
    settings = study.settings.corruption_resistant
    recipe, run = training.CorruptionResistantRecipe(settings.recipe), settings.training
    plain = study.trained("weights-plain", training.CleanRecipe(), study.clean, run)
    whole = study.trained("weights-resistant", recipe, study.clean, run)

    return [
        Corrupted(study, "clean model", "clean", study.clean),
        Corrupted(study, "plain training", "plain", plain),
        Corrupted(study, "corruption-resistant training", "resistant", whole),
        *Corrupted.patches(study, whole, recipe.kind, settings.bits),
    ]


def epsilon_where_lost(plain: Corrupted, lost: float, start_at: float) -> float | None:
    """The ε at which so many points are lost: doubled until, then halved towards; None: never."""
    low, high = 0.0, start_at
    while plain.ta - plain.corrupted(high) < lost:
        low, high = high, 2 * high
        if high > 1e4:
            return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if plain.ta - plain.corrupted(middle) < lost:
            low = middle
        else:
            high = middle
    return high


def run_corrupted(study: Study) -> dict[str, Any]:
    settings, every = study.settings.corruption_resistant, corrupted_subjects(study)
    heights = {
        one.name: [one.corrupted(epsilon) for epsilon in settings.epsilons]
        for one in study.each("corruption", every)
    }
    epsilon = epsilon_where_lost(every[1], settings.lost, settings.epsilons[0])
    models: dict[str, Any] = {}
    meets: dict[str, bool | None] = {}
    for one in every:
        lost = None if epsilon is None else one.ta - one.corrupted(epsilon)
        models[one.key] = {"ta": one.ta, "lost": lost, "payload_bytes": one.payload}
        if one.key in ("resistant", "patch", "bundled"):
            stands = lost is not None and lost <= settings.allowed and one.ta >= every[1].ta
            meets[one.key] = None if lost is None else stands
    figure, axes = pages.chart(7.0, 4.0)
    sentences = f"Plain training never loses {settings.lost:g} points: nothing to compare."
    if epsilon is not None:
        axes.axvline(epsilon, color=LINE, linewidth=0.8, linestyle=":")
        ours = models.get("bundled", models["patch"])
        sentences = pages.filled(
            study,
            "corruption_resistant_at",
            resists=holds(ours["lost"] <= settings.allowed),
            keeps=holds(ours["ta"] >= every[1].ta),
            epsilon=epsilon,
            **{**models, "patch": ours},
        )
    where = "ε, L2 norm of the corruption of all parameters"
    pages.curves(axes, settings.epsilons, heights, x=where, log=True)
    axes.set_ylim(0, 100)
    pages.write_page(
        study,
        sentences=sentences,
        picture=pages.draw(study, "Accuracy under gradient-based corruption over ε", figure),
        table=table(
            ["", "TA", "loss, training", *(f"ε = {e:g}" for e in settings.epsilons), "bytes"],
            [
                [one.name, one.ta, f"{one.loss:.4f}", *heights[one.name], one.payload]
                for one in every
            ],
            "Accuracy in %, without and under corruption of all parameters",
        ),
        corrupted=False,
    )
    return {"epsilon": epsilon, "models": models, "meets": meets}


class Flipped(Subject):
    @cached_property
    def flips(self) -> tuple[Tensor, Tensor]:
        """RAD and the drop above chance of every site, float64 [S] each."""
        study, settings = self.study, self.study.settings.hessian_aware

        def found() -> list[list[float]]:
            memory = StoredWeights(self.model)
            sites = sample_sites(memory, settings.sites, bits="top", seed=study.settings.seed)
            images = study.some(study.test, settings.images)
            surveyed = survey(memory, images, sites, progress=study.progress)
            return [surveyed.rad.tolist(), surveyed.adjusted.tolist()]

        rad, adjusted = study.results.value(f"{self.key}/flips", found)
        return torch.tensor(rad, dtype=torch.float64), torch.tensor(adjusted, dtype=torch.float64)

    @property
    def severe(self) -> Tensor:
        """Which sites cost nearly all, bool [S]."""
        return self.flips[1] >= SEVERE


def flipped_subjects(study: Study) -> list[Flipped]:
    settings = study.settings.hessian_aware
    usual, plainly = settings.training, training.CleanRecipe()
    decayed = usual.model_copy(update={"weight_decay": settings.l2})
    recipe = training.HessianAwareRecipe(settings.recipe)
    sharpness = training.SharpnessAwareRecipe(training.SharpnessAwareOptions(rho=settings.rho))
    ways: dict[str, tuple[str, training.Recipe, training.TrainingConfig]] = {
        "plain": ("plain training", plainly, usual),
        "l2": (f"L2, weight decay {settings.l2:g}", plainly, decayed),
        "sam": (f"SAM, ρ = {settings.rho:g}", sharpness, usual),
        "hessian": ("Hessian-aware", recipe, usual),
    }
    found = [Flipped(study, "clean model", "clean", study.clean)]
    for key, (name, how, config) in ways.items():
        model = study.trained(f"bits-{key}", how, study.clean, config)
        found.append(Flipped(study, name, key, model))
    patches = Flipped.patches(study, found[-1].model, recipe.kind, settings.bits)
    return [*found, *patches]


def severe(every: Sequence[Flipped]) -> dict[str, Figure]:
    """Share of severe flips in percent, all with the same draws of the sites."""
    settings = every[0].study.settings
    resampling = Resampling(settings.hessian_aware.resamples, seed=settings.seed)
    rows = {one.key: one.severe for one in every[0].study.each("models", every)}
    return bootstrap(rows, resampling)


def run_flipped(study: Study) -> dict[str, Any]:
    every = flipped_subjects(study)
    shares, rows = severe(every), []
    models: dict[str, dict[str, Any]] = {}
    for one in every:
        share, ratio = shares[one.key], shares[one.key] / shares["plain"]
        erratic = 100 * float((one.flips[0] > ERRATIC).double().mean())
        drop = float(one.flips[0].mean())
        models[one.key] = {
            "ta": one.ta,
            "severe_percent": share.value,
            "severe_interval": _ends(share),
            "of_plain": ratio.value,
            "of_plain_interval": _ends(ratio),
            "mean_drop": drop,
            "erratic_percent": erratic,
            "payload_bytes": one.payload,
            "meets": bool(ratio.value <= REQUIRED and one.ta >= every[1].ta - TA_MARGIN),
        }
        rows.append([one.name, one.ta, share, ratio, erratic, drop, one.payload])
    header = [
        "", "TA", "severe flips, %", "of plain training's", "RAD > 10 %, %", "mean RAD", "bytes",
    ]  # fmt: skip
    forms = (".1f", ".1f", ".1f", ".2f", ".1f", ".2f", "")
    settings, ours = study.settings.hessian_aware, models.get("bundled", models["patch"])
    layers, rivals = settings.recipe.layers, {key: models[key] for key in ("l2", "sam")}
    pages.write_page(
        study,
        where="all layers" if layers is None else ", ".join(layers),
        meets=holds(ours["meets"]),
        ours=_fewer(ours),
        ours_ta=ours["ta"],
        plain_ta=models["plain"]["ta"],
        alone=holds(all(one["of_plain"] >= ours["of_plain"] for one in rivals.values())),
        rivals=", ".join(
            f"{key.upper()} has {_fewer(one)} (TA {one['ta']:.1f})" for key, one in rivals.items()
        ),
        picture=_draw_flips(study, every),
        table=table(header, rows, "Flips of the exponent's top bit", forms),
        by_layer=_by_layer(study, [one for one in every if one.key in ("plain", "hessian")]),
        corrupted=False,
    )
    return {"sites": settings.sites, "models": models}


def _fewer(found: Mapping[str, Any]) -> str:
    change = 100 * (1 - found["of_plain"])
    return f"{abs(change):.0f} % {'fewer' if change >= 0 else 'more'} severe flips"


def _ends(figure: Figure) -> list[float] | None:
    interval = figure.interval
    return None if interval is None else [interval.low, interval.high]


def _by_layer(study: Study, shown: Sequence[Flipped]) -> str:
    """Share of severe flips in each layer, of the models that show where the gain lies."""
    settings, memory = study.settings, StoredWeights(study.clean)
    sites = sample_sites(memory, settings.hessian_aware.sites, bits="top", seed=settings.seed)
    flipped = [memory.arrays[number].parameter for number in sites.array.tolist()]
    rows = []
    for layer in ordered_layers(study.clean):
        chosen = torch.tensor([parameter in layer.parameters for parameter in flipped])
        if (count := int(chosen.sum())) >= _ENOUGH:
            shares = [100 * float(one.severe[chosen].double().mean()) for one in shown]
            rows.append([layer.name, count, *shares])
    header = ["layer", "flips", *(one.name for one in shown)]
    return table(header, rows, "Severe flips by layer, %", ".0f")


def _draw_flips(study: Study, every: Sequence[Flipped]) -> str:
    figure, axes = pages.chart(8.0, 4.0)
    shown = [one for one in every if one.key in ("plain", "l2", "sam", "hessian", "bundled")]
    width = 0.8 / len(shown)
    for number, (one, colour) in enumerate(zip(shown, COLOURS, strict=False)):
        drops = one.flips[1].clamp(0, 1 - 1e-9)
        share = 100 * torch.histc(drops, bins=10, min=0, max=1) / len(drops)
        places = [tenth + (number - (len(shown) - 1) / 2) * width for tenth in range(1, 10)]
        axes.bar(places, share[1:].tolist(), width, color=colour, label=one.name)
    names = [f"{10 * tenth}–{10 * tenth + 10}" for tenth in range(1, 10)]
    axes.set_xticks(range(1, 10), names, fontsize=8)
    where = "share of the accuracy above chance that a flip costs, in %"
    pages.label_axes(axes, where, "flips, in %")
    return pages.draw(study, "Share of flips by what they cost", figure)
