"""Figure 6: the number of patched layers K against RA and TA, on five corruptions.

Two protocols. The paper's: the robust counterpart is trained in full and cut to its shallowest K
layers. Shallow-constrained: the counterpart is trained with everything behind the K-th layer
frozen, so that the patch is the whole difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from torch import nn

from benchmarks.paper.pages import (
    COLOURS,
    PATCHED,
    Picture,
    Table,
    counted,
    curves,
    draw,
    tidy,
    write_page,
)
from benchmarks.paper.study import Study
from rwsstore.drawing import new_figure
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
    def means(self) -> tuple[float, float]:
        """RA and TA over the corruptions."""
        return fmean(self.ra.values()), fmean(self.ta.values())


def constrained(study: Study, corruption: str, layers: int) -> nn.Module:
    """The counterpart of which only the shallowest layers were trained."""
    recipe = RobustRecipe(corruption, study.settings.severity, layers=layers)
    training = study.settings.layers.training
    return study.trained(f"shallow{layers}-{corruption}", recipe, study.clean, training)


def point(study: Study, protocol: str, layers: int, counterparts: Mapping[str, nn.Module]) -> Point:
    """Measure one K of one protocol, "full" or "constrained", of counterparts by corruption."""
    ra, ta, payload = {}, {}, 0
    for corruption, robust in counterparts.items():
        patch = study.cut(robust, corruption, layers=layers, bits=study.settings.layers.bits)
        predict, key = study.patched(patch), f"{protocol}/{layers}/{corruption}"
        ra[corruption] = study.seen(f"{key}/ra", predict, corruption)
        ta[corruption] = study.seen(f"{key}/ta", predict)
        payload += patch.payload_bytes
    return Point(layers, ra, ta, payload)


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
            task.advance(note=f"K = {layers}: RA {full[-1].means[0]:.1f} %")
        for layers in wanted:
            frozen = {name: constrained(study, name, layers) for name in names}
            shallow.append(point(study, "constrained", layers, frozen))
            task.advance(note=f"K = {layers}, constrained: RA {shallow[-1].means[0]:.1f} %")
    clean = study.live([])
    ta = study.seen("clean/ta", clean)
    ra = {name: study.seen(f"clean/ra/{name}", clean, name) for name in names}
    base = Point(0, ra, dict.fromkeys(ra, ta), 0)
    size = sum(4 * tensor.numel() for tensor in study.clean.parameters())
    epochs = counted(study.settings.layers.training.epochs, "epoch")
    trained = f" Constrained is trained with the deeper layers frozen, for {epochs}."
    write_page(
        study,
        names=", ".join(names),
        ra=base.means[0],
        ta=base.means[1],
        trained=trained if wanted else "",
        sentences=_sentences(full, shallow),
        picture=_draw(study, base, full, shallow, size),
        summary=_summary(full, shallow, size),
        full=_single(full, "full and cut"),
        constrained=[_single(shallow, "constrained")] if shallow else [],
    )


def _sentences(full: Sequence[Point], shallow: Sequence[Point]) -> str:
    """What the K of the bundled patches reaches, and the best K."""
    said = [
        f"{word}, K = {_BUNDLED} reaches {chosen.means[0]:.1f} % RA with {chosen.means[1]:.1f} % "
        "TA."
        for word, points in (("Full and cut", full), ("Constrained", shallow))
        for chosen in points
        if chosen.layers == _BUNDLED
    ]
    best = max(full, key=lambda found: found.means[0])
    said.append(
        f"Cut from full training, the highest mean RA is {best.means[0]:.1f} %, at K = "
        f"{best.layers}."
    )
    return " ".join(said)


def _summary(full: Sequence[Point], shallow: Sequence[Point], size: int) -> Table:
    between = ["RA, constrained", "TA, constrained"] if shallow else []
    header = [
        "K", "RA, full and cut", "TA, full and cut", *between,
        "payload of all patches", "payload / model",
    ]  # fmt: skip
    beside = {found.layers: found.means for found in shallow}
    nothing = [None] * len(between)
    rows = [
        [
            found.layers, *found.means, *beside.get(found.layers, nothing), found.payload,
            f"{found.payload / size:.3f}",
        ]
        for found in full
    ]  # fmt: skip
    return Table(header, rows, "Means")


def _single(points: Sequence[Point], word: str) -> Table:
    rows = [[found.layers, *found.ra.values()] for found in points]
    return Table(["K", *points[0].ra], rows, f"RA by corruption, {word}")


def _draw(
    study: Study, base: Point, full: Sequence[Point], shallow: Sequence[Point], size: int
) -> Picture:
    figure = new_figure(9.5, 3.9)
    left, right = map(tidy, figure.subplots(1, 2))
    looks = ((full, "full and cut", PATCHED), (shallow, "constrained", COLOURS[1]))
    for points, label, colour in looks:
        drawn = [base, *points] if points else []
        places = [found.layers for found in drawn]
        for number, (what, style) in enumerate((("RA", "o-"), ("TA", "s--"))):
            means = [found.means[number] for found in drawn]
            left.plot(places, means, style, ms=4, color=colour, label=f"{what}, {label}")
    places = [found.layers for found in (base, *full)]
    curves(left, places, {}, x="patched layers K", y="mean accuracy in %")
    each = [100 * found.payload / size / len(full[0].ra) for found in (base, *full)]
    right.plot(places, each, "o-", ms=4, color=PATCHED)
    right.set_ylabel("payload of one patch, % of the model")
    right.set_xlabel("patched layers K")
    for axes in (left, right):
        axes.set_xticks(places)
    return draw(study, "RA, TA and bytes against the number of patched layers", figure)
