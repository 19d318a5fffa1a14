"""Table 2 of the study of parameter corruption, in kind: training against it.

The clean model goes on training for a few epochs, plainly or with the recipe
`corruption_resistant`. Then all parameters are corrupted along the gradient, ever further, and the
accuracy is measured.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.paper.pages import (
    COLOURS,
    LINE,
    Picture,
    Table,
    new_figure,
    save_figure,
    tidy,
    write_blocks,
)
from benchmarks.paper.study import Study, start
from benchmarks.paper.weight_patches import Subject, bundled_patch, difference
from rwsstore.measure import accuracy
from rwsstore.patches import Patch
from rwsstore.probes.parameter_corruption import (
    Constraint,
    LossGradient,
    Sample,
    corrupted_copy,
    gradient_corruption,
    loss_gradient,
)
from rwsstore.training import CleanRecipe, CorruptionResistantRecipe

_HALVINGS = 12
"""Of the interval in which the plain run's ε is looked for."""


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
        study = self.study

        def found() -> float:
            corruption = gradient_corruption(self.gradient.tensors, Constraint(epsilon))
            made = corrupted_copy(self.model, corruption)
            return accuracy(made, study.test.images, study.test.labels)

        return study.results.number(f"{self.key}/{epsilon!r}", found)


def subjects(study: Study) -> list[Corrupted]:
    """The clean model, the two that went on training, and the patches."""
    settings = study.settings.corruption_resistant
    recipe = CorruptionResistantRecipe(settings.recipe)
    plain = study.trained("weights-plain", CleanRecipe(), study.clean, settings.training)
    whole = study.trained("weights-resistant", recipe, study.clean, settings.training)
    patch = difference(study, whole, kind=recipe.kind, bits=settings.bits)
    found = [
        Corrupted(study, "clean model", "clean", study.clean),
        Corrupted(study, "plain training", "plain", plain),
        Corrupted(study, "corruption-resistant training", "resistant", whole),
        Corrupted.patched(study, f"the same as a patch, {settings.bits} bits", "patch", patch),
    ]
    bundled = bundled_patch(study, recipe.kind)
    if bundled is not None:
        found.append(Corrupted.patched(study, _words(bundled), "bundled", bundled))
    return found


def _words(patch: Patch) -> str:
    metadata = patch.metadata
    made = {} if metadata.recipe is None else metadata.recipe.parameters
    return (
        f"bundled patch, {len(metadata.layers)} layers, {metadata.bits} bits, trained at "
        f"ε = {made.get('set.epsilon')}, strength {metadata.alpha.recommended:g}"
    )


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


def run(study: Study) -> dict[str, Any]:
    """Train, measure, write the page and the picture; returns the headline figures."""
    settings, every = study.settings.corruption_resistant, subjects(study)
    with study.progress.task("corruption", total=len(every) * len(settings.epsilons)) as task:
        for subject in every:
            for epsilon in settings.epsilons:
                task.advance(note=f"{subject.name}: {subject.corrupted(epsilon):.1f} %")
    epsilon = epsilon_where_lost(every[1], settings.lost, settings.epsilons[0])
    headlines = _headlines(study, every, epsilon)
    _write(study, every, epsilon, headlines)
    return headlines


def _headlines(study: Study, every: Sequence[Corrupted], epsilon: float | None) -> dict[str, Any]:
    settings, plain = study.settings.corruption_resistant, every[1]
    models: dict[str, Any] = {}
    for subject in every:
        lost = None if epsilon is None else subject.ta - subject.corrupted(epsilon)
        models[subject.key] = {"ta": subject.ta, "lost": lost, "payload_bytes": subject.payload}
    judged = {
        key: None if found["lost"] is None else bool(
            found["lost"] <= settings.allowed and found["ta"] >= plain.ta
        )
        for key, found in models.items()
        if key in ("resistant", "patch", "bundled")
    }  # fmt: skip
    return {"epsilon": epsilon, "models": models, "meets": judged}


def _write(
    study: Study, every: Sequence[Corrupted], epsilon: float | None, headlines: Mapping[str, Any]
) -> None:
    settings = study.settings.corruption_resistant
    blocks: list[str | Table | Picture] = [
        _about(study),
        _sentences(study, epsilon, headlines),
        Picture(_draw(study, every, epsilon), "Accuracy under gradient-based corruption over ε"),
        Table(
            ["", "TA", "loss, training", *(f"ε = {e:g}" for e in settings.epsilons), "bytes"],
            [
                [
                    subject.name,
                    f"{subject.ta:.1f}",
                    f"{subject.loss:.4f}",
                    *(f"{subject.corrupted(e):.1f}" for e in settings.epsilons),
                    "" if subject.payload is None else f"{subject.payload:,}",
                ]
                for subject in every
            ],
            title="Accuracy in %, without and under corruption of all parameters",
        ),
    ]
    write_blocks(study, "Corruption-resistant training (Table 2 in kind)", blocks, corrupted=False)


def _about(study: Study) -> str:
    settings = study.settings.corruption_resistant
    recipe, training = settings.recipe, settings.training
    return (
        "Sun et al., AAAI 2021. The clean model goes on training for "
        f"{training.epochs} epochs of all layers at a learning rate of "
        f"{training.learning_rate:g}, plainly or on "
        f"L′ = (1 − λ₁)·L(w) + λ₁·L(w + â) with λ₁ = {recipe.weight:g}, ε = {recipe.epsilon:g}, "
        f"p = {recipe.p}. Measured under gradient-based corruption of all parameters with L2 norm "
        f"ε, its gradient taken on {settings.gradient_images:,} training images, anew for each "
        "model."
    )


def _sentences(study: Study, epsilon: float | None, headlines: Mapping[str, Any]) -> str:
    settings, models = study.settings.corruption_resistant, headlines["models"]
    if epsilon is None:
        return f"Plain training never loses {settings.lost:g} points: nothing to compare."
    plain, patch = models["plain"], models.get("bundled", models["patch"])
    word = "Holds" if patch["ta"] >= plain["ta"] else "Does not hold"
    robust = "Holds" if patch["lost"] <= settings.allowed else "Does not hold"
    return (
        f"**{robust}: resistance.** At ε = {epsilon:.3f}, where plain training has lost "
        f"{plain['lost']:.1f} points, the patched model has lost {patch['lost']:.1f}. **{word}: "
        f"accuracy without corruption does not suffer.** TA is {patch['ta']:.1f} against "
        f"{plain['ta']:.1f} of plain training and {models['clean']['ta']:.1f} of the clean model."
    )


def _draw(study: Study, every: Sequence[Corrupted], epsilon: float | None) -> Path:
    figure = new_figure(7.0, 4.0)
    axes = tidy(figure.add_subplot())
    places = study.settings.corruption_resistant.epsilons
    for subject, colour in zip(every, COLOURS, strict=False):
        heights = [subject.corrupted(place) for place in places]
        axes.plot(places, heights, "o-", ms=4, color=colour, label=subject.name)
    if epsilon is not None:
        axes.axvline(epsilon, color=LINE, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.minorticks_off()
    axes.set_xlabel("ε, L2 norm of the corruption of all parameters")
    axes.set_ylabel("accuracy in %")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(study, figure)


def main() -> None:
    start("corruption_resistant", run, __doc__)


if __name__ == "__main__":
    main()
