"""Figure 6: the number of patched layers K against RA and TA, on five corruptions.

    python -m benchmarks.paper.layers --data NAME:PATH

Two protocols. The paper's: the robust counterpart is trained in full and cut to its shallowest K
layers. Shallow-constrained: the counterpart is trained with everything behind the K-th layer
frozen, so that the patch is the whole difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from torch import nn

from benchmarks.paper.cutting import cut
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
from rwsstore.errors import ConfigError
from rwsstore.models import ordered_layers
from rwsstore.training import RobustRecipe

_BUNDLED = 5
"""K of the bundled patches, and of the paper."""


@dataclass(frozen=True)
class Point:
    """One K of one protocol.

    Attributes:
        layers: K.
        ra: accuracy in percent by corruption, on images with it.
        ta: accuracy in percent on clean images, by the patch that is on.
        payload: bytes of all patches.
    """

    layers: int
    ra: Mapping[str, float]
    ta: Mapping[str, float]
    payload: int

    @property
    def mean_ra(self) -> float:
        """Over the corruptions."""
        return fmean(self.ra.values())

    @property
    def mean_ta(self) -> float:
        """Over the patches."""
        return fmean(self.ta.values())


def constrained(study: Study, corruption: str, layers: int) -> nn.Module:
    """The counterpart of which only the shallowest layers were trained."""
    recipe = RobustRecipe(corruption, study.settings.severity, layers=layers)
    training = study.settings.layers.training
    return study.trained(f"shallow{layers}-{corruption}", recipe, study.clean, training)


def point(study: Study, protocol: str, layers: int, counterparts: Mapping[str, nn.Module]) -> Point:
    """Measure one K of one protocol on the test images.

    Args:
        study: to measure for.
        protocol: "full" or "constrained".
        layers: K.
        counterparts: θ_c by corruption.
    """
    ra, ta, payload = {}, {}, 0
    for corruption, robust in counterparts.items():
        patch = cut(study, corruption, robust, layers=layers, bits=study.settings.layers.bits)
        predict, key = study.patched(patch), f"{protocol}/{layers}/{corruption}"
        shown = partial(study.corrupted, study.test, corruption)
        ra[corruption] = study.measure(f"{key}/ra", predict, shown, study.test.labels)
        ta[corruption] = study.measure(f"{key}/ta", predict, study.test.images, study.test.labels)
        payload += patch.payload_bytes
    return Point(layers, ra, ta, payload)


def no_patch(study: Study) -> Point:
    """K = 0: the clean model."""
    labels, predict = study.test.labels, study.live([])
    ta = study.measure("clean/ta", predict, study.test.images, labels)
    ra = {
        name: study.measure(
            f"clean/ra/{name}", predict, partial(study.corrupted, study.test, name), labels
        )
        for name in study.settings.corruptions
    }
    return Point(0, ra, dict.fromkeys(ra, ta), 0)


def run(study: Study) -> None:
    """Train, measure, write the page and the picture."""
    names, wanted = study.settings.corruptions, study.settings.layers.constrained
    depth = len(ordered_layers(study.clean))
    if wanted and wanted[-1] > depth:
        raise ConfigError(f"layers.constrained names K = {wanted[-1]}; the model has {depth}")
    robust = {name: study.robust(name) for name in names}
    full, shallow = [], []
    with study.progress.task("layers", total=depth + len(wanted)) as task:
        for layers in range(1, depth + 1):
            full.append(point(study, "full", layers, robust))
            task.advance(note=f"K = {layers}: RA {full[-1].mean_ra:.1f} %")
        for layers in wanted:
            frozen = {name: constrained(study, name, layers) for name in names}
            shallow.append(point(study, "constrained", layers, frozen))
            task.advance(note=f"K = {layers}, constrained: RA {shallow[-1].mean_ra:.1f} %")
    _write(study, no_patch(study), full, shallow)


def _write(study: Study, base: Point, full: Sequence[Point], shallow: Sequence[Point]) -> None:
    size = sum(4 * tensor.numel() for tensor in study.clean.parameters())
    picture = _draw(study, base, full, shallow, size)
    blocks: list[str | Table | Picture] = [
        _about(study, base),
        _sentences(full, shallow),
        Picture(picture, "RA, TA and bytes against the number of patched layers"),
        Table(*_summary(full, shallow, size), title="Means"),
        Table(*_single(full), title="RA by corruption, full and cut"),
    ]
    if shallow:
        blocks.append(Table(*_single(shallow), title="RA by corruption, constrained"))
    write_blocks(study, "Number of patched layers (Figure 6 in kind)", blocks)


def _about(study: Study, base: Point) -> str:
    settings = study.settings
    said = (
        f"Means over {', '.join(settings.corruptions)}, patches at {settings.layers.bits} bits. "
        f"Without a patch RA is {base.mean_ra:.1f} % and TA {base.mean_ta:.1f} %. Full and cut is "
        f"the paper's protocol: a robust model trained in full, {settings.robust.epochs} epochs, "
        "cut to its shallowest K layers."
    )
    if settings.layers.constrained:
        epochs = settings.layers.training.epochs
        said += (
            " Constrained is trained with the deeper layers frozen, for "
            f"{epochs} epoch{'' if epochs == 1 else 's'}."
        )
    return said


def _sentences(full: Sequence[Point], shallow: Sequence[Point]) -> str:
    """What the K of the bundled patches reaches, and the best K."""
    said = []
    for word, points in (("Full and cut", full), ("Constrained", shallow)):
        chosen = next((found for found in points if found.layers == _BUNDLED), None)
        if chosen is not None:
            said.append(
                f"{word}, K = {_BUNDLED} reaches {chosen.mean_ra:.1f} % RA with "
                f"{chosen.mean_ta:.1f} % TA."
            )
    best = max(full, key=lambda found: found.mean_ra)
    said.append(
        f"Cut from full training, the highest mean RA is {best.mean_ra:.1f} %, at K = "
        f"{best.layers}."
    )
    return " ".join(said)


def _summary(
    full: Sequence[Point], shallow: Sequence[Point], size: int
) -> tuple[list[str], list[list[str]]]:
    between = ["RA, constrained", "TA, constrained"] if shallow else []
    header = [
        "K", "RA, full and cut", "TA, full and cut", *between,
        "payload of all patches", "payload / model",
    ]  # fmt: skip
    beside = {found.layers: found for found in shallow}
    rows = []
    for found in full:
        other = beside.get(found.layers)
        pair = [""] * len(between)
        if other is not None:
            pair = [f"{other.mean_ra:.1f}", f"{other.mean_ta:.1f}"]
        sizes = [f"{found.payload:,}", f"{found.payload / size:.3f}"]
        first = [str(found.layers), f"{found.mean_ra:.1f}", f"{found.mean_ta:.1f}"]
        rows.append([*first, *pair, *sizes])
    return header, rows


def _single(points: Sequence[Point]) -> tuple[list[str], list[list[str]]]:
    names = list(points[0].ra)
    rows = [[str(found.layers), *(f"{found.ra[name]:.1f}" for name in names)] for found in points]
    return ["K", *names], rows


def _draw(
    study: Study, base: Point, full: Sequence[Point], shallow: Sequence[Point], size: int
) -> Path:
    figure = new_figure(9.5, 3.9)
    left, right = tidy(figure.add_subplot(1, 2, 1)), tidy(figure.add_subplot(1, 2, 2))
    looks = ((full, "full and cut", PATCHED), (shallow, "constrained", COLOURS[1]))
    for points, label, colour in looks:
        if points:
            drawn = [base, *points]
            places = [found.layers for found in drawn]
            ra, ta = [found.mean_ra for found in drawn], [found.mean_ta for found in drawn]
            left.plot(places, ra, "o-", ms=4, color=colour, label=f"RA, {label}")
            left.plot(places, ta, "s--", ms=3, color=colour, label=f"TA, {label}")
    left.set_ylabel("mean accuracy in %")
    left.legend(frameon=False, fontsize=8)
    places = [found.layers for found in (base, *full)]
    each = [100 * found.payload / size / len(full[0].ra) for found in (base, *full)]
    right.plot(places, each, "o-", ms=4, color=PATCHED)
    right.set_ylabel("payload of one patch, % of the model")
    for axes in (left, right):
        axes.set_xticks(places)
        axes.set_xlabel("patched layers K")
    return save_figure(study, figure)


def main() -> None:
    start("layers", run, __doc__)


if __name__ == "__main__":
    main()
