"""Hessian-aware training against flipped bits, beside plain training, L2 and SAM.

The clean model goes on training for a few epochs in four ways that differ in one thing each. Then
the exponent's top bit of the same weights is flipped in each, one at a time, and the accuracy is
measured: the bits that cost 90 to 100 % of the accuracy above chance are counted.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.paper.pages import (
    COLOURS,
    Picture,
    Table,
    new_figure,
    save_figure,
    tidy,
    write_blocks,
)
from benchmarks.paper.study import Study, start
from benchmarks.paper.weight_patches import Subject, bundled_patch, difference
from rwsstore.measure.bootstrap import Figure, Resampling, bootstrap
from rwsstore.models import ordered_layers
from rwsstore.probes.bitflips import StoredWeights, sample_sites, survey
from rwsstore.training import (
    CleanRecipe,
    HessianAwareRecipe,
    SharpnessAwareOptions,
    SharpnessAwareRecipe,
)

SEVERE, ERRATIC = 0.9, 0.1
"""Shares of the accuracy above chance, and of the accuracy, from which a flip counts."""

_ENOUGH = 20
"""Flips in a layer, from which its share is shown."""

REQUIRED, TA_MARGIN = 0.8, 1.0
"""At most this share of plain training's severe flips, at most so many points of TA below it."""


class Flipped(Subject):
    """A model whose bits are flipped."""

    @cached_property
    def flips(self) -> tuple[Tensor, Tensor]:
        """RAD and the drop above chance of every site, float64 [S] each."""
        found = self.study.results.value(f"{self.key}/flips", self._flip)
        return tuple(torch.tensor(row, dtype=torch.float64) for row in found)  # type: ignore[return-value]  # two rows

    def _flip(self) -> list[list[float]]:
        settings, seed = self.study.settings.hessian_aware, self.study.settings.seed
        memory = StoredWeights(self.model)
        sites = sample_sites(memory, settings.sites, bits="top", seed=seed)
        count = min(settings.images, len(self.study.test))
        images = self.study.test.limit(count, seed)
        found = survey(memory, images, sites, progress=self.study.progress)
        return [found.rad.tolist(), found.adjusted.tolist()]


def subjects(study: Study) -> list[Flipped]:
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
    patch = difference(study, found[-1].model, kind=recipe.kind, bits=settings.bits)
    words = f"the same as a patch, {settings.bits} bits"
    found.append(Flipped.patched(study, words, "patch", patch))
    bundled = bundled_patch(study, recipe.kind)
    if bundled is not None:
        name = f"bundled patch, {len(bundled.metadata.layers)} layers, {bundled.metadata.bits} bits"
        found.append(Flipped.patched(study, name, "bundled", bundled))
    return found


def severe(every: Sequence[Flipped]) -> dict[str, Figure]:
    """Share of severe flips in percent, all with the same draws of the sites."""
    settings = every[0].study.settings
    resampling = Resampling(settings.hessian_aware.resamples, seed=settings.seed)
    return bootstrap({s.key: s.flips[1] >= SEVERE for s in every}, resampling)


def by_layer(every: Sequence[Flipped]) -> Table:
    """Share of severe flips in each layer, of the models that show where the gain lies."""
    study = every[0].study
    memory = StoredWeights(study.clean)
    settings = study.settings.hessian_aware
    sites = sample_sites(memory, settings.sites, bits="top", seed=study.settings.seed)
    owners = {
        name: layer.name for layer in ordered_layers(study.clean) for name in layer.parameters
    }
    places = [owners[memory.arrays[array].parameter] for array in sites.array.tolist()]
    shown = [subject for subject in every if subject.key in ("plain", "hessian")]
    rows = []
    for layer in [layer.name for layer in ordered_layers(study.clean)]:
        chosen = torch.tensor([place == layer for place in places])
        count = int(chosen.sum())
        if count >= _ENOUGH:
            shares = [float((s.flips[1][chosen] >= SEVERE).double().mean()) for s in shown]
            rows.append(
                [layer, str(int(chosen.sum())), *(f"{100 * share:.0f}" for share in shares)]
            )
    header = ["layer", "flips", *(subject.name for subject in shown)]
    return Table(header, rows, title="Severe flips by layer, %")


def run(study: Study) -> dict[str, Any]:
    """Train, flip, write the page and the picture; returns the headline figures."""
    every = subjects(study)
    with study.progress.task("models", total=len(every)) as task:
        for subject in every:
            counted = float((subject.flips[1] >= SEVERE).double().mean())
            task.advance(note=f"{subject.name}: TA {subject.ta:.1f}, severe {counted:.1%}")
    figures = severe(every)
    headlines = {subject.key: _headline(subject, figures, every[1]) for subject in every}
    _write(study, every, headlines)
    return {"sites": study.settings.hessian_aware.sites, "models": headlines}


def _headline(subject: Flipped, figures: Mapping[str, Figure], plain: Flipped) -> dict[str, Any]:
    share, ratio = figures[subject.key], figures[subject.key] / figures["plain"]
    return {
        "ta": subject.ta,
        "severe_percent": share.value,
        "severe_interval": _ends(share),
        "of_plain": ratio.value,
        "of_plain_interval": _ends(ratio),
        "mean_drop": float(subject.flips[0].mean()),
        "erratic_percent": 100 * float((subject.flips[0] > ERRATIC).double().mean()),
        "payload_bytes": subject.payload,
        "meets": bool(ratio.value <= REQUIRED and subject.ta >= plain.ta - TA_MARGIN),
    }


def _ends(figure: Figure) -> list[float] | None:
    interval = figure.interval
    return None if interval is None else [interval.low, interval.high]


def _write(
    study: Study,
    every: Sequence[Flipped],
    headlines: Mapping[str, Mapping[str, Any]],
) -> None:
    rows = [
        [
            subject.name,
            f"{found['ta']:.1f}",
            _between(found["severe_percent"], found["severe_interval"], ".1f"),
            _between(found["of_plain"], found["of_plain_interval"], ".2f"),
            f"{found['erratic_percent']:.1f}",
            f"{found['mean_drop']:.2f}",
            "" if subject.payload is None else f"{subject.payload:,}",
        ]
        for subject in every
        for found in [headlines[subject.key]]
    ]
    header = [
        "",
        "TA",
        "severe flips, %",
        "of plain training's",
        "RAD > 10 %, %",
        "mean RAD",
        "bytes",
    ]
    blocks: list[str | Table | Picture] = [
        _about(study),
        _sentences(headlines),
        Picture(_draw(study, every), "Share of flips by what they cost"),
        Table(header, rows, title="Flips of the exponent's top bit"),
        by_layer(every),
    ]
    write_blocks(study, "Hessian-aware training against flipped bits", blocks, corrupted=False)


def _between(value: float, interval: Sequence[float] | None, digits: str) -> str:
    if interval is None:
        return format(value, digits)
    return f"{value:{digits}} ({interval[0]:{digits}} to {interval[1]:{digits}})"


def _about(study: Study) -> str:
    settings = study.settings.hessian_aware
    recipe, training = settings.recipe, settings.training
    epochs = f"{training.epochs} epoch{'' if training.epochs == 1 else 's'}"
    where = "all layers" if recipe.layers is None else ", ".join(recipe.layers)
    return (
        f"The clean model goes on training for {epochs} ({training.optimizer}, learning rate "
        f"{training.learning_rate:g}) in four ways. Hessian-aware (arXiv:2504.01933) trains "
        f"{where}: λ = {recipe.strength:g}, the largest {recipe.share:.0%} of the diagonal. "
        f"{settings.sites:,} weights, drawn evenly, the same in every model; the top bit of each "
        f"one's float32 exponent is flipped by itself and {settings.images} test images are "
        "classified. Severe: 90 to 100 % of the accuracy above chance is lost; an output that is "
        "not finite is wrong. Intervals are 95 % bootstrap intervals over the weights, with the "
        "same draws for all models."
    )


def _sentences(headlines: Mapping[str, Mapping[str, Any]]) -> str:
    plain, ours = headlines["plain"], headlines.get("bundled", headlines["patch"])
    word = "Holds" if ours["meets"] else "Does not hold"
    said = (
        f"**{word}: a fifth to a half fewer severe flips.** The patched model has "
        f"{_fewer(ours)} than plain training of the same length, at a TA of {ours['ta']:.1f} "
        f"against {plain['ta']:.1f}."
    )
    better = [headlines[key]["of_plain"] < ours["of_plain"] for key in ("l2", "sam")]
    verdict = "Does not hold" if any(better) else "Holds"
    rivals = ", ".join(
        f"{name} has {_fewer(headlines[key])} (TA {headlines[key]['ta']:.1f})"
        for name, key in (("L2", "l2"), ("SAM", "sam"))
    )
    return f"{said} **{verdict}: other flat minima do not help as much.** {rivals}."


def _fewer(found: Mapping[str, Any]) -> str:
    """Severe flips against plain training's."""
    change = 100 * (1 - found["of_plain"])
    return f"{abs(change):.0f} % {'fewer' if change >= 0 else 'more'} severe flips"


def _draw(study: Study, every: Sequence[Flipped]) -> Path:
    figure = new_figure(8.0, 4.0)
    axes = tidy(figure.add_subplot())
    shown = [s for s in every if s.key in ("plain", "l2", "sam", "hessian", "bundled")]
    width = 0.8 / len(shown)
    for number, (subject, colour) in enumerate(zip(shown, COLOURS, strict=False)):
        drops = subject.flips[1].clamp(0, 1 - 1e-9)
        share = 100 * torch.histc(drops, bins=10, min=0, max=1) / len(drops)
        places = [tenth + (number - (len(shown) - 1) / 2) * width for tenth in range(1, 10)]
        axes.bar(places, share[1:].tolist(), width, color=colour, label=subject.name)
    names = [f"{10 * tenth}–{10 * tenth + 10}" for tenth in range(1, 10)]
    axes.set_xticks(range(1, 10), names, fontsize=8)
    axes.set_xlabel("share of the accuracy above chance that a flip costs, in %")
    axes.set_ylabel("flips, in %")
    axes.legend(frameon=False, fontsize=8)
    return save_figure(study, figure)


def main() -> None:
    start("hessian_aware", run, __doc__)


if __name__ == "__main__":
    main()
