"""The bundled patch of kind `clat`: what it costs and gives, alone and with patches of corruptions.

    python -m benchmarks.paper.clat_patch --data NAME:PATH [--json]

TA, adversarial accuracy and mean RA at several strengths; then, for each of the studies'
corruptions, the clean model, its own patch, the `clat` patch, and both at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmarks.paper.clat_measuring import (
    attacks_of,
    figure_json,
    packed,
    points,
    right_under,
    told,
    unpacked,
    verdict,
    with_worst,
)
from benchmarks.paper.pages import (
    COLOURS,
    PATCHED,
    Picture,
    Table,
    new_figure,
    save_figure,
    tidy,
    write_blocks,
)
from benchmarks.paper.study import Study, start
from benchmarks.paper.weight_patches import bundled_patch
from rwsstore.data import ImageSet
from rwsstore.errors import MissingFileError
from rwsstore.measure import Figure, Resampling, bootstrap, correctness, mean_of
from rwsstore.patches import Patch

Patches = Mapping[str, float | None]
"""Digests of the patches that are on, with their strengths; None: the recommended one."""

CLEAN = "clean model"


@dataclass(frozen=True)
class Shown:
    """One model: accuracies in percent, with the same draws of the images for all models.

    Attributes:
        ta: on clean images.
        ra: by corruption.
        adversarial: worst of PGD and APGD-CE.
    """

    ta: Figure
    ra: Mapping[str, Figure]
    adversarial: Figure

    @property
    def mean_ra(self) -> Figure:
        """The mean over the corruptions."""
        return mean_of(list(self.ra.values()))


class Models:
    """The clean model with patches on, measured; figures are drawn for all of them at once.

    Args:
        study: whose settings say on how many images.
        patches: that may be put on.
    """

    def __init__(self, study: Study, patches: Sequence[Patch]) -> None:
        settings, seed = study.settings.clat_patch, study.settings.seed
        self._study, self._live = study, study.live(patches)
        self._images = _at_most(study.test, settings.images, seed)
        self._attacked = _at_most(study.test, settings.attack_images, seed)
        self._right: dict[tuple[str, str], Tensor] = {}
        self._stood: dict[str, Tensor] = {}

    def measure(self, name: str, patches: Patches, corruptions: Sequence[str]) -> None:
        """Measure TA, RA on some corruptions, and what stands under attack."""
        model = self._live.variant(dict(patches)).module
        for corruption in ("", *corruptions):
            self._right[name, corruption] = self._seen(name, model, corruption)
        self._stood[name] = self._attack(name, model)

    def figures(self) -> dict[str, Shown]:
        """What was measured, by name."""
        settings = self._study.settings
        resampling = Resampling(settings.clat_patch.resamples, seed=settings.seed)
        right, stood = bootstrap(self._right, resampling), bootstrap(self._stood, resampling)
        return {
            name: Shown(
                right[name, ""],
                {corruption: figure for (of, corruption), figure in right.items()
                 if of == name and corruption},
                stood[name],
            )
            for name in stood
        }  # fmt: skip

    def _seen(self, name: str, model: nn.Module, corruption: str) -> Tensor:
        study, images = self._study, self._images

        def measured() -> str:
            shown = study.corrupted(images, corruption) if corruption else images.images
            return packed(correctness(model, shown, images.labels))

        text = study.results.value(f"{name}/{corruption or 'clean'}", measured)
        return unpacked(text, len(images))

    def _attack(self, name: str, model: nn.Module) -> Tensor:
        study, settings = self._study, self._study.settings.clat_patch
        attacks = attacks_of(settings.epsilon, settings.pgd_steps, settings.apgd_steps)
        rows = {
            key: right_under(
                study.results, f"{name}/attacked/{key}", model, self._attacked, attack,
                seed=study.settings.seed, progress=study.progress,
            )
            for key, attack in attacks.items()
        }  # fmt: skip
        return with_worst(rows)["worst"]


def run(study: Study) -> dict[str, Any]:
    """Measure, write the page and the picture; returns the headline figures.

    Raises:
        MissingFileError: the bundle has no patch of kind `clat`.
    """
    patch = bundled_patch(study, "clat")
    if patch is None:
        raise MissingFileError(
            "the bundle has no patch of kind clat, and this study is of nothing else: name a "
            "bundle that has one with --bundle"
        )
    strengths = sorted({*study.settings.clat_patch.alphas, patch.metadata.alpha.recommended})
    found = measure(study, patch, strengths)
    best = alone(patch.metadata.alpha.recommended)
    gain = figure_json(found[best].adversarial - found[CLEAN].adversarial)
    _write(study, patch, found, strengths)
    return {
        "payload_bytes": patch.payload_bytes,
        "recommended": patch.metadata.alpha.recommended,
        "models": {name: _headline(shown) for name, shown in found.items()},
        "gain": gain,
        "meets": gain["value"] >= study.settings.clat_patch.gain,
    }


def _headline(shown: Shown) -> dict[str, Any]:
    return {
        "ta": figure_json(shown.ta),
        "mean_ra": figure_json(shown.mean_ra),
        "ra": {name: figure.value for name, figure in shown.ra.items()},
        "adversarial": figure_json(shown.adversarial),
    }


def measure(study: Study, patch: Patch, strengths: Sequence[float]) -> dict[str, Shown]:
    """The clean model, the patch at each strength, and each corruption's patch without and with."""
    corruptions = study.settings.corruptions
    own = study.patches(corruptions)
    models = Models(study, [patch, *own.values()])
    wanted: list[tuple[str, Patches, Sequence[str]]] = [(CLEAN, {}, corruptions)]
    wanted += [(alone(alpha), {patch.digest: alpha}, corruptions) for alpha in strengths]
    for name, other in own.items():
        wanted.append((name, {other.digest: None}, [name]))
        wanted.append((both(name), {other.digest: None, patch.digest: None}, [name]))
    with study.progress.task("models", total=len(wanted)) as task:
        for name, patches, shown in wanted:
            models.measure(name, patches, shown)
            task.advance(note=name)
    return models.figures()


def alone(alpha: float) -> str:
    """What the model with the `clat` patch at one strength is called."""
    return f"clat at {alpha:g}"


def both(corruption: str) -> str:
    """What the model with a corruption's patch and the `clat` patch is called."""
    return f"{corruption} + clat"


def _at_most(images: ImageSet, most: int, seed: int) -> ImageSet:
    return images.limit(most, seed) if most < len(images) else images


def _write(
    study: Study, patch: Patch, found: Mapping[str, Shown], strengths: Sequence[float]
) -> None:
    ours = alone(patch.metadata.alpha.recommended)
    blocks: list[str | Table | Picture] = [
        _about(study, patch),
        _sentences(study, found, ours),
        Picture(_draw(study, found, strengths), "TA, mean RA and adversarial accuracy over α"),
        _strengths(found, strengths),
        _together(study, found, ours),
    ]
    write_blocks(study, "The CLAT patch, alone and with others", blocks)


def _about(study: Study, patch: Patch) -> str:
    settings, metadata = study.settings.clat_patch, patch.metadata
    return (
        f"The bundled patch {metadata.name}: {len(metadata.layers)} layers, {metadata.bits} bits, "
        f"{patch.payload_bytes:,} bytes, recommended α = {metadata.alpha.recommended:g}. TA and RA "
        f"are of {min(settings.images, len(study.test)):,} test images, adversarial accuracy of "
        f"{min(settings.attack_images, len(study.test)):,}: what stays right without an attack, "
        f"under PGD-{settings.pgd_steps} and under APGD-CE with {settings.apgd_steps} steps, one "
        f"random start each, at ε = {255 * settings.epsilon:.3g}/255 (L∞), made anew on every "
        "model. Intervals are 95 % bootstrap intervals over the images, with the same draws for "
        "all models."
    )


def _sentences(study: Study, found: Mapping[str, Shown], ours: str) -> str:
    wanted, names = study.settings.clat_patch.gain, study.settings.corruptions
    gain = found[ours].adversarial - found[CLEAN].adversarial
    ta, ra = found[ours].ta - found[CLEAN].ta, found[ours].mean_ra - found[CLEAN].mean_ra
    word = "Holds" if figure_json(gain)["value"] >= wanted else "Does not hold"
    kept = mean_of([found[both(name)].ra[name] - found[name].ra[name] for name in names])
    over = mean_of([found[both(name)].ra[name] - found[ours].ra[name] for name in names])
    stands = mean_of([found[both(name)].adversarial - found[name].adversarial for name in names])
    against = mean_of([found[both(name)].adversarial - found[ours].adversarial for name in names])
    cost = mean_of([found[both(name)].ta - found[name].ta for name in names])
    return (
        f"**{word}: the patch raises adversarial accuracy by {wanted:g} points or more.** It is "
        f"{points(gain)} points, for {points(ta)} of TA and {points(ra)} of mean RA. "
        f"**{verdict(stands)}: it does so beside a corruption's patch.** With both on, adversarial "
        f"accuracy is {points(stands)} points above the corruption's patch alone and "
        f"{points(against)} against the CLAT patch alone. **{verdict(over)}: a corruption's patch "
        f"works beside it.** RA with both on is {points(over)} points above the CLAT patch alone "
        f"and {points(kept)} against the corruption's patch alone; TA is {points(cost)} against "
        "the latter."
    )


def _strengths(found: Mapping[str, Shown], strengths: Sequence[float]) -> Table:
    rows = [
        [name, told(shown.ta), told(shown.mean_ra), told(shown.adversarial)]
        for name in (CLEAN, *map(alone, strengths))
        for shown in [found[name]]
    ]
    return Table(["", "TA", "mean RA", "adversarial"], rows, title="Accuracy in % at each strength")


def _together(study: Study, found: Mapping[str, Shown], ours: str) -> Table:
    rows = []
    for name in study.settings.corruptions:
        for label, key in (
            ("clean", CLEAN), ("its patch", name), ("CLAT", ours), ("both", both(name))
        ):  # fmt: skip
            shown = found[key]
            figures = (shown.ta, shown.ra[name], shown.adversarial)
            rows.append([f"{name}: {label}", *map(told, figures)])
    header = ["", "TA", "RA of that corruption", "adversarial"]
    return Table(header, rows, title="With the corruptions' patches, accuracy in %")


def _draw(study: Study, found: Mapping[str, Shown], strengths: Sequence[float]) -> Path:
    figure = new_figure(6.4, 3.6)
    axes = tidy(figure.add_subplot())
    places = [0.0, *strengths]
    shown = [found[name] for name in (CLEAN, *map(alone, strengths))]
    for colour, label, figures in (
        (COLOURS[1], "TA", [one.ta for one in shown]),
        (COLOURS[2], "mean RA", [one.mean_ra for one in shown]),
        (PATCHED, "adversarial", [one.adversarial for one in shown]),
    ):
        heights = [one.value for one in figures]
        axes.plot(places, heights, "o-", ms=4, color=colour, label=label)
    axes.set_xlabel("α of the clat patch")
    axes.set_ylabel("accuracy in %")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(study, figure)


def main() -> None:
    start("clat_patch", run, __doc__)


if __name__ == "__main__":
    main()
