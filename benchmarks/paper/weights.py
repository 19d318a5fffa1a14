"""Models that went on training so that their weights may fail, and what is left when they do.

Table 2 of the study of parameter corruption (Sun et al., AAAI 2021), in kind: the clean model goes
on training for a few epochs, plainly or with the recipe `corruption_resistant`; then all parameters
are corrupted along the gradient, ever further.

Hessian-aware training against flipped bits, beside plain training, L2 and SAM: four ways that
differ in one thing each. Then the exponent's top bit of the same weights is flipped in each, one at
a time: the bits that cost 90 to 100 % of the accuracy above chance are counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn

from benchmarks.paper.pages import (
    COLOURS,
    LINE,
    Picture,
    Table,
    chart,
    counted,
    curves,
    draw,
    holds,
    write_page,
)
from benchmarks.paper.study import Study
from rwsstore.measure import Figure, Resampling, accuracy, bootstrap
from rwsstore.models import ordered_layers
from rwsstore.patches import Patch
from rwsstore.probes.bitflips import StoredWeights, sample_sites, survey
from rwsstore.probes.parameter_corruption import (
    Constraint,
    LossGradient,
    Sample,
    corrupted_copy,
    gradient_corruption,
    loss_gradient,
)
from rwsstore.training import (
    CleanRecipe,
    CorruptionResistantRecipe,
    HessianAwareRecipe,
    SharpnessAwareOptions,
    SharpnessAwareRecipe,
)

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
    """A model that is measured.

    Attributes:
        name: in the table.
        key: in the results.
        model: with its patch on, where it has one.
        payload: bytes of that patch; None: a whole model.
    """

    study: Study
    name: str
    key: str
    model: nn.Module
    payload: int | None = None

    @property
    def ta(self) -> float:
        """Accuracy with nothing done to it, in percent."""
        return self.study.seen(f"{self.key}/ta", self.model)

    @classmethod
    def patches(
        cls, study: Study, trained: nn.Module, kind: Any, bits: int, words: Callable[[Patch], str]
    ) -> list[Self]:
        """The clean model with the difference to a trained one on, and with the bundled patch."""
        own = study.difference(trained, kind=kind, bits=bits)
        found = [(f"the same as a patch, {bits} bits", "patch", own)]
        if (bundled := study.bundled(kind)) is not None:
            metadata = bundled.metadata
            name = f"bundled patch, {len(metadata.layers)} layers, {metadata.bits} bits"
            found.append((name + words(bundled), "bundled", bundled))
        return [
            cls(
                study, name, key, study.live([patch]).variant({patch.digest: None}).module,
                patch.payload_bytes,
            )
            for name, key, patch in found
        ]  # fmt: skip


class Corrupted(Subject):
    """A model under corruption."""

    @cached_property
    def gradient(self) -> LossGradient:
        """On training images, as the paper takes it."""
        study = self.study
        count = min(study.settings.corruption_resistant.gradient_images, len(study.train))
        images = study.train.limit(count, study.settings.seed)
        sample = Sample.of(self.model, images.images, images.labels)
        return loss_gradient(self.model, sample, progress=study.progress)

    @property
    def loss(self) -> float:
        """Mean cross-entropy on the training images that the gradient is taken on."""
        return self.study.results.number(f"{self.key}/loss", lambda: self.gradient.loss)

    def corrupted(self, epsilon: float) -> float:
        """Accuracy under the gradient-based corruption of all parameters, p = 2, in percent."""
        test = self.study.test

        def found() -> float:
            corruption = gradient_corruption(self.gradient.tensors, Constraint(epsilon))
            return accuracy(corrupted_copy(self.model, corruption), test.images, test.labels)

        return self.study.results.number(f"{self.key}/{epsilon!r}", found)


def corrupted_subjects(study: Study) -> list[Corrupted]:
    """The clean model, the two that went on training, and the patches."""
    settings = study.settings.corruption_resistant
    recipe = CorruptionResistantRecipe(settings.recipe)
    plain = study.trained("weights-plain", CleanRecipe(), study.clean, settings.training)
    whole = study.trained("weights-resistant", recipe, study.clean, settings.training)

    def words(patch: Patch) -> str:
        made = {} if patch.metadata.recipe is None else patch.metadata.recipe.parameters
        strength = patch.metadata.alpha.recommended
        return f", trained at ε = {made.get('set.epsilon')}, strength {strength:g}"

    return [
        Corrupted(study, "clean model", "clean", study.clean),
        Corrupted(study, "plain training", "plain", plain),
        Corrupted(study, "corruption-resistant training", "resistant", whole),
        *Corrupted.patches(study, whole, recipe.kind, settings.bits, words),
    ]


def epsilon_where_lost(plain: Corrupted, lost: float, start_at: float) -> float | None:
    """The ε at which a model has lost so many points: doubled until it has, then halved towards.

    Returns:
        None: it never does.
    """
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
    """Train, corrupt, write the page and the picture; returns the headline figures."""
    settings, every = study.settings.corruption_resistant, corrupted_subjects(study)
    with study.progress.task("corruption", total=len(every) * len(settings.epsilons)) as task:
        for one in every:
            for epsilon in settings.epsilons:
                task.advance(note=f"{one.name}: {one.corrupted(epsilon):.1f} %")
    epsilon = epsilon_where_lost(every[1], settings.lost, settings.epsilons[0])
    models: dict[str, Any] = {}
    for one in every:
        lost = None if epsilon is None else one.ta - one.corrupted(epsilon)
        models[one.key] = {"ta": one.ta, "lost": lost, "payload_bytes": one.payload}
    meets = {
        key: None
        if found["lost"] is None
        else bool(found["lost"] <= settings.allowed and found["ta"] >= every[1].ta)
        for key, found in models.items()
        if key in ("resistant", "patch", "bundled")
    }
    heights = {one.name: [one.corrupted(e) for e in settings.epsilons] for one in every}
    figure, axes = chart(7.0, 4.0)
    if epsilon is not None:
        axes.axvline(epsilon, color=LINE, linewidth=0.8, linestyle=":")
    where = "ε, L2 norm of the corruption of all parameters"
    curves(axes, settings.epsilons, heights, x=where, log=True)
    axes.set_ylim(0, 100)
    write_page(
        study,
        sentences=_resistance(study, epsilon, models),
        picture=draw(study, "Accuracy under gradient-based corruption over ε", figure),
        table=Table(
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


def _resistance(study: Study, epsilon: float | None, models: Mapping[str, Any]) -> str:
    settings = study.settings.corruption_resistant
    if epsilon is None:
        return f"Plain training never loses {settings.lost:g} points: nothing to compare."
    plain, patch = models["plain"], models.get("bundled", models["patch"])
    return (
        f"**{holds(patch['lost'] <= settings.allowed)}: resistance.** At ε = {epsilon:.3f}, where "
        f"plain training has lost {plain['lost']:.1f} points, the patched model has lost "
        f"{patch['lost']:.1f}. **{holds(patch['ta'] >= plain['ta'])}: "
        f"accuracy without corruption does not suffer.** TA is {patch['ta']:.1f} against "
        f"{plain['ta']:.1f} of plain training and {models['clean']['ta']:.1f} of the clean model."
    )


class Flipped(Subject):
    """A model whose bits are flipped."""

    @cached_property
    def flips(self) -> tuple[Tensor, Tensor]:
        """RAD and the drop above chance of every site, float64 [S] each."""
        rad, adjusted = self.study.results.value(f"{self.key}/flips", self._flip)
        return torch.tensor(rad, dtype=torch.float64), torch.tensor(adjusted, dtype=torch.float64)

    @property
    def severe(self) -> Tensor:
        """Which sites cost nearly all, bool [S]."""
        return self.flips[1] >= SEVERE

    def _flip(self) -> list[list[float]]:
        settings, seed = self.study.settings.hessian_aware, self.study.settings.seed
        memory = StoredWeights(self.model)
        sites = sample_sites(memory, settings.sites, bits="top", seed=seed)
        count = min(settings.images, len(self.study.test))
        images = self.study.test.limit(count, seed)
        found = survey(memory, images, sites, progress=self.study.progress)
        return [found.rad.tolist(), found.adjusted.tolist()]


def flipped_subjects(study: Study) -> list[Flipped]:
    """The clean model, the four trainings, and the patches."""
    settings = study.settings.hessian_aware
    training, recipe = settings.training, HessianAwareRecipe(settings.recipe)
    decayed = training.model_copy(update={"weight_decay": settings.l2})
    sharpness = SharpnessAwareOptions(rho=settings.rho)
    found = [Flipped(study, "clean model", "clean", study.clean)]
    for name, key, how, config in (
        ("plain training", "plain", CleanRecipe(), training),
        (f"L2, weight decay {settings.l2:g}", "l2", CleanRecipe(), decayed),
        (f"SAM, ρ = {settings.rho:g}", "sam", SharpnessAwareRecipe(sharpness), training),
        ("Hessian-aware", "hessian", recipe, training),
    ):
        model = study.trained(f"bits-{key}", how, study.clean, config)
        found.append(Flipped(study, name, key, model))
    patches = Flipped.patches(study, found[-1].model, recipe.kind, settings.bits, lambda _patch: "")
    return [*found, *patches]


def severe(every: Sequence[Flipped]) -> dict[str, Figure]:
    """Share of severe flips in percent, all with the same draws of the sites."""
    settings = every[0].study.settings
    resampling = Resampling(settings.hessian_aware.resamples, seed=settings.seed)
    return bootstrap({one.key: one.severe for one in every}, resampling)


def run_flipped(study: Study) -> dict[str, Any]:
    """Train, flip, write the page and the picture; returns the headline figures."""
    every = flipped_subjects(study)
    with study.progress.task("models", total=len(every)) as task:
        for one in every:
            share = float(one.severe.double().mean())
            task.advance(note=f"{one.name}: TA {one.ta:.1f}, severe {share:.1%}")
    shares, models, rows = severe(every), {}, []
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
    layers = settings.recipe.layers
    better = [models[key]["of_plain"] < ours["of_plain"] for key in ("l2", "sam")]
    rivals = [
        f"{key.upper()} has {_fewer(models[key])} (TA {models[key]['ta']:.1f})"
        for key in ("l2", "sam")
    ]
    write_page(
        study,
        epochs=counted(settings.training.epochs, "epoch"),
        where="all layers" if layers is None else ", ".join(layers),
        meets=holds(ours["meets"]),
        ours=_fewer(ours),
        ours_ta=ours["ta"],
        plain_ta=models["plain"]["ta"],
        alone=holds(not any(better)),
        rivals=", ".join(rivals),
        picture=_draw_flips(study, every),
        table=Table(header, rows, "Flips of the exponent's top bit", forms),
        by_layer=_by_layer(study, [one for one in every if one.key in ("plain", "hessian")]),
        corrupted=False,
    )
    return {"sites": study.settings.hessian_aware.sites, "models": models}


def _fewer(found: Mapping[str, Any]) -> str:
    """Severe flips against plain training's."""
    change = 100 * (1 - found["of_plain"])
    return f"{abs(change):.0f} % {'fewer' if change >= 0 else 'more'} severe flips"


def _ends(figure: Figure) -> list[float] | None:
    interval = figure.interval
    return None if interval is None else [interval.low, interval.high]


def _by_layer(study: Study, shown: Sequence[Flipped]) -> Table:
    """Share of severe flips in each layer, of the models that show where the gain lies."""
    settings, memory = study.settings, StoredWeights(study.clean)
    sites = sample_sites(memory, settings.hessian_aware.sites, bits="top", seed=settings.seed)
    owners = {
        name: layer.name for layer in ordered_layers(study.clean) for name in layer.parameters
    }
    places = [owners[memory.arrays[number].parameter] for number in sites.array.tolist()]
    rows = []
    for layer in ordered_layers(study.clean):
        chosen = torch.tensor([place == layer.name for place in places])
        if (count := int(chosen.sum())) >= _ENOUGH:
            shares = [100 * float(one.severe[chosen].double().mean()) for one in shown]
            rows.append([layer.name, count, *shares])
    header = ["layer", "flips", *(one.name for one in shown)]
    return Table(header, rows, "Severe flips by layer, %", ".0f")


def _draw_flips(study: Study, every: Sequence[Flipped]) -> Picture:
    figure, axes = chart(8.0, 4.0)
    shown = [one for one in every if one.key in ("plain", "l2", "sam", "hessian", "bundled")]
    width = 0.8 / len(shown)
    for number, (one, colour) in enumerate(zip(shown, COLOURS, strict=False)):
        drops = one.flips[1].clamp(0, 1 - 1e-9)
        share = 100 * torch.histc(drops, bins=10, min=0, max=1) / len(drops)
        places = [tenth + (number - (len(shown) - 1) / 2) * width for tenth in range(1, 10)]
        axes.bar(places, share[1:].tolist(), width, color=colour, label=one.name)
    names = [f"{10 * tenth}–{10 * tenth + 10}" for tenth in range(1, 10)]
    axes.set_xticks(range(1, 10), names, fontsize=8)
    axes.set_xlabel("share of the accuracy above chance that a flip costs, in %")
    axes.set_ylabel("flips, in %")
    axes.legend(frameon=False, fontsize=8)
    return draw(study, "Share of flips by what they cost", figure)
