"""The bundled patch of kind `clat`: what it costs and gives, alone and with patches of corruptions.

TA, adversarial accuracy and mean RA at several strengths; then, for each of the studies'
corruptions, the clean model, its own patch, the `clat` patch, and both at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.paper import clat, pages
from benchmarks.paper.pages import COLOURS, PATCHED, Gain, figure_json, table
from benchmarks.paper.study import Study
from rwsstore.errors import MissingFileError
from rwsstore.measure import Figure, Grid, Resampling, correctness, mean_of
from rwsstore.measure.accuracy import from_digits, to_digits
from rwsstore.patches import Patch

CLEAN = "clean model"


@dataclass(frozen=True)
class Shown:
    """One model in percent: on clean images, by corruption, at the worst of PGD and APGD-CE."""

    ta: Figure
    ra: Mapping[str, Figure]
    adversarial: Figure

    @property
    def mean_ra(self) -> Figure:
        return mean_of(list(self.ra.values()))

    @property
    def headline(self) -> dict[str, Any]:
        return {
            "ta": figure_json(self.ta),
            "mean_ra": figure_json(self.mean_ra),
            "ra": {name: figure.value for name, figure in self.ra.items()},
            "adversarial": figure_json(self.adversarial),
        }


def run(study: Study) -> dict[str, Any]:
    patch = study.bundled("clat")
    if patch is None:
        raise MissingFileError(
            "the bundle has no patch of kind clat, and this study is of nothing else: name a "
            "bundle that has one with --bundle"
        )
    settings, recommended = study.settings.clat_patch, patch.metadata.alpha.recommended
    strengths, ours = sorted({*settings.alphas, recommended}), alone(recommended)
    found = measure(study, patch, strengths)
    rows = {name: found[name] for name in (CLEAN, *map(alone, strengths))}
    gain = figure_json(found[ours].adversarial - found[CLEAN].adversarial)
    together = [
        [f"{name}: {label}", found[key].ta, found[key].ra[name], found[key].adversarial]
        for name in study.settings.corruptions
        for label, key in zip(
            ("clean", "its patch", "CLAT", "both"), (CLEAN, name, ours, both(name)), strict=True
        )
    ]
    pages.write_page(
        study,
        patch=patch,
        layers=len(patch.metadata.layers),
        images=min(settings.images, len(study.test)),
        attacked=min(settings.attack_images, len(study.test)),
        budget=255 * settings.epsilon,
        meets=pages.holds(gain["value"] >= settings.gain),
        **_gains(study, found, ours),
        picture=_draw(study, [0.0, *strengths], list(rows.values())),
        strengths=table(
            ["", "TA", "mean RA", "adversarial"],
            [[name, one.ta, one.mean_ra, one.adversarial] for name, one in rows.items()],
            "Accuracy in % at each strength",
        ),
        together=table(
            ["", "TA", "RA of that corruption", "adversarial"],
            together,
            "With the corruptions' patches, accuracy in %",
        ),
    )
    return {
        "payload_bytes": patch.payload_bytes,
        "recommended": recommended,
        "models": {name: shown.headline for name, shown in found.items()},
        "gain": gain,
        "meets": gain["value"] >= settings.gain,
    }


def alone(alpha: float) -> str:
    """What the model with the `clat` patch at one strength is called."""
    return f"clat at {alpha:g}"


def both(corruption: str) -> str:
    """What the model with a corruption's patch and the `clat` patch is called."""
    return f"{corruption} + clat"


def measure(study: Study, patch: Patch, strengths: Sequence[float]) -> dict[str, Shown]:
    """The clean model, the patch at each strength, and each corruption's patch without and with."""
    settings, corruptions = study.settings.clat_patch, study.settings.corruptions
    own = study.patches(corruptions)
    live = study.live([patch, *own.values()])
    # What is on, and the corruptions that it is shown.
    wanted: dict[str, tuple[dict[str, float | None], Sequence[str]]] = {CLEAN: ({}, corruptions)}
    wanted |= {alone(alpha): ({patch.digest: alpha}, corruptions) for alpha in strengths}
    for name, other in own.items():
        wanted[name] = {other.digest: None}, [name]
        wanted[both(name)] = {other.digest: None, patch.digest: None}, [name]
    images = study.some(study.test, settings.images)
    attacked = study.some(study.test, settings.attack_images)
    attacks = clat.attacks_of(settings.epsilon, settings.pgd_steps, settings.apgd_steps)
    resampling = Resampling(settings.resamples, seed=study.settings.seed)
    right: Grid[str, str] = Grid(resampling)
    standing: Grid[str, str] = Grid(resampling)  # of fewer images
    for name in study.each("models", wanted):
        patches, shown = wanted[name]
        model = live.variant(patches).module
        for corruption in ("", *shown):

            def seen(corruption: str = corruption, model: Any = model) -> str:
                pixels = study.corrupted(images, corruption) if corruption else images.images
                return to_digits(correctness(model, pixels, images.labels))

            text = study.results.value(f"{name}/{corruption or 'clean'}/right", seen)
            right.put(name, corruption, from_digits(text))
        rows = clat.stood(study, study.results, name, model, attacked, attacks)
        standing.put(name, "worst", rows["worst"])
    return {
        name: Shown(
            right.accuracy(name, ""),
            {corruption: right.accuracy(name, corruption) for corruption in shown},
            standing.accuracy(name, "worst"),
        )
        for name, (_, shown) in wanted.items()
    }


def _gains(study: Study, found: Mapping[str, Shown], ours: str) -> dict[str, Any]:
    """The patch against the clean model, and both patches against either, means over these."""
    alone, clean = found[ours], found[CLEAN]
    pairs = [(name, found[both(name)], found[name]) for name in study.settings.corruptions]
    differences = {
        "gain": [alone.adversarial - clean.adversarial],
        "ta": [alone.ta - clean.ta],
        "ra": [alone.mean_ra - clean.mean_ra],
        "kept": [two.ra[name] - one.ra[name] for name, two, one in pairs],
        "over": [two.ra[name] - alone.ra[name] for name, two, _ in pairs],
        "stands": [two.adversarial - one.adversarial for _, two, one in pairs],
        "against": [two.adversarial - alone.adversarial for _, two, _ in pairs],
        "cost": [two.ta - one.ta for _, two, one in pairs],
    }
    return {name: Gain(mean_of(each)) for name, each in differences.items()}


def _draw(study: Study, places: Sequence[float], shown: Sequence[Shown]) -> str:
    figure, axes = pages.chart(6.4, 3.6)
    lines = {
        "TA": [one.ta.value for one in shown],
        "mean RA": [one.mean_ra.value for one in shown],
        "adversarial": [one.adversarial.value for one in shown],
    }
    colours = (COLOURS[1], COLOURS[2], PATCHED)
    pages.curves(axes, places, lines, x="α of the clat patch", colours=colours)
    axes.set_ylim(0, 100)
    return pages.draw(study, "TA, mean RA and adversarial accuracy over α", figure)
