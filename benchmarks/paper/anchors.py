"""Which anchor, with projection or without; and shallow-constrained against full training.

A small network of its own, so that all three anchors lie on one path to one clean model: it is
pre-trained to say which way is up, folded, given a new last layer (anchor 1), trained on the
classes to an early checkpoint (anchor 3), and on to the clean model (anchor 2). From each anchor a
shallow-constrained counterpart is trained for each corruption, all for equally long. The second
part compares the bundled patches with robust models that were trained in full and cut.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from benchmarks.paper.anchor_path import (
    ANCHORS,
    PROJECTED,
    UNPROJECTED,
    WHOLE,
    AnchorPath,
    differences,
    train_path,
)
from benchmarks.paper.pages import (
    CLEAN,
    COLOURS,
    LINE,
    Picture,
    Table,
    bars,
    draw,
    tidy,
    write_page,
)
from benchmarks.paper.patching import cut
from benchmarks.paper.settings import AnchorsSettings
from benchmarks.paper.study import Study
from rwsstore.drawing import new_figure
from rwsstore.errors import ConfigError
from rwsstore.making import starting_point
from rwsstore.measure.accuracy import Predict
from rwsstore.models import shallowest
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.training import RobustRecipe


class Measured(NamedTuple):
    """A patch, or none, on one corruption; percent.

    Attributes:
        validation: RA on validation images.
        ra: on test images.
        ta: on clean test images.
    """

    validation: float
    ra: float
    ta: float

    @classmethod
    def mean(cls, each: Iterable["Measured"]) -> "Measured":
        """Over corruptions."""
        return cls(*(fmean(column) for column in zip(*each, strict=True)))


class Outcome(NamedTuple):
    """One difference as a patch.

    Attributes:
        full: at α = 1.
        best: at the α that is best on validation images.
        alpha: that one.
    """

    full: Measured
    best: Measured
    alpha: float


Outcomes = Mapping[tuple[str, str], Mapping[str, Outcome]]
"""By anchor and difference, then by corruption."""

Ways = Mapping[str, Mapping[str, Measured]]
"""By way, then by corruption."""

NO_PATCH, BUNDLED = "no patch", "shallow-constrained (bundled)"
CUT, ROBUST = "trained in full, cut", "the whole robust model"


def run(study: Study) -> None:
    """Train, measure, write the page and the picture."""
    settings, names = study.settings.anchors, study.settings.corruptions
    if settings is None:
        raise ConfigError("the settings have no part [anchors]: this study needs it")
    path = train_path(study, settings)
    none: dict[str, Measured] = {}
    found: dict[tuple[str, str], dict[str, Outcome]] = {}
    full: dict[str, dict[str, Measured]] = {}
    with study.progress.task("anchors", total=len(names) * (1 + len(ANCHORS))) as task:
        for name in names:
            none[name] = _measured(study, "small/none", LiveModel(path.clean).variant({}), name)
            for anchor in ANCHORS:
                patches = candidates(study, settings, path, anchor, name)
                for kind, patch in patches.items():
                    live = LiveModel(path.clean, PatchBag([patch]))
                    outcome = _outcome(study, settings.alphas, live, patch, f"{anchor}/{kind}")
                    found.setdefault((anchor, kind), {})[name] = outcome
                task.advance(note=f"{anchor}, {name}")
        for name in names:
            for way, predict in ways(study, name).items():
                full.setdefault(way, {})[name] = _measured(study, f"large/{way}", predict, name)
            task.advance(note=f"full training, {name}")
    _write(study, none, found, full)


def candidates(
    study: Study, settings: AnchorsSettings, path: AnchorPath, anchor: str, corruption: str
) -> dict[str, Patch]:
    """Train one counterpart and make a patch of each difference that could be its patch."""
    layers = shallowest(path.clean, settings.layers)
    names = [name for layer in layers for name in layer.parameters]
    init, clean = path.anchor(anchor), path.clean
    robust = study.trained(
        f"anchors-{anchor}-{corruption}",
        RobustRecipe(corruption, study.settings.severity, layers=settings.layers),
        starting_point(clean, init, names),
        settings.training,
    )
    states = clean.state_dict(), robust.state_dict(), init.state_dict()
    kinds = (WHOLE,) if anchor == "clean" else (PROJECTED, UNPROJECTED, WHOLE)
    found = differences(names, *states)
    return {
        kind: make_patch(
            kind="rws",
            name=corruption,
            model=identify(states[0]),
            layers=tuple(layer.name for layer in layers),
            deltas=found[kind],
            bits=32,
        )
        for kind in kinds
    }


def _outcome(
    study: Study, alphas: Sequence[float], live: LiveModel, patch: Patch, key: str
) -> Outcome:
    def validation(alpha: float) -> float:
        name, variant = patch.name, live.variant({patch.digest: alpha})
        where = f"{key}/{alpha:g}/{name}/validation"
        return study.seen(where, variant, name, images=study.validation)

    def measured(alpha: float) -> Measured:
        variant = live.variant({patch.digest: alpha})
        return _measured(study, f"{key}/{alpha:g}", variant, patch.name)

    best = max(alphas, key=validation)
    return Outcome(measured(1.0), measured(best), best)


def _measured(study: Study, key: str, predict: Predict, corruption: str) -> Measured:
    key = f"{key}/{corruption}"
    return Measured(
        study.seen(f"{key}/validation", predict, corruption, images=study.validation),
        study.seen(f"{key}/ra", predict, corruption),
        study.seen(f"{key}/ta", predict),
    )


def ways(study: Study, corruption: str) -> dict[str, Predict]:
    """The bundled patch, the same layers of a fully trained model, and that model itself."""
    patch = _bundled(study, corruption)
    robust = study.robust(corruption)
    layers, bits = len(patch.metadata.layers), patch.metadata.bits
    assert bits is not None  # only composed patches have none
    other = cut(study, corruption, robust, layers=layers, bits=bits)
    return {
        NO_PATCH: study.live([]),
        BUNDLED: study.patched(patch),
        CUT: study.patched(other),
        ROBUST: LiveModel(robust),
    }


def _bundled(study: Study, corruption: str) -> Patch:
    return study.patches([corruption], wide=study.wide is not None)[corruption]


def _write(study: Study, none: Mapping[str, Measured], found: Outcomes, full: Ways) -> None:
    names = list(none)
    without = Measured.mean(none.values())
    patch = _bundled(study, names[0])
    recipe = patch.metadata.recipe
    epochs = None if recipe is None else recipe.parameters.get("epochs")
    means = [[NO_PATCH, *without, *[None] * 4]]
    by_label: dict[str, Measured] = {}
    for key, each in found.items():
        outcomes = each.values()
        at_one = by_label[_label(key)] = Measured.mean(one.full for one in outcomes)
        at_best = Measured.mean(one.best for one in outcomes)
        means.append([_label(key), *at_one, *at_best, fmean(one.alpha for one in outcomes)])
    order = sorted(by_label, key=lambda label: -by_label[label].validation)
    small = {NO_PATCH: [one.ra for one in none.values()]}
    small |= {_label(k): [one.full.ra for one in each.values()] for k, each in found.items()}
    lines = {name: [one[name] for one in full.values()] for name in names}
    lines["mean"] = [Measured.mean(one.values()) for one in full.values()]
    write_page(
        study,
        order=", ".join(f"{label} {by_label[label].ra:.1f}" for label in order),
        without=without,
        picture=_draw(study, names, small, full),
        means=Table(
            [
                "anchor; difference", "validation RA", "RA", "TA", "validation RA, best α",
                "RA, best α", "TA, best α", "mean best α",
            ],
            means,
            f"Means over {', '.join(names)}",
            (*[".1f"] * 7, ".2f"),
        ),
        by_corruption=Table(
            ["anchor; difference", *names],
            [[label, *heights] for label, heights in small.items()],
            "RA on the test images, α = 1",
        ),
        patch=patch,
        layers=len(patch.metadata.layers),
        trained="" if epochs is None else f", {epochs} epochs",
        bundled=Measured.mean(full[BUNDLED].values()),
        cut=Measured.mean(full[CUT].values()),
        robust=Measured.mean(full[ROBUST].values()),
        full=Table(
            ["corruption", *(f"{what}, {way}" for way in full for what in ("RA", "TA"))],
            [
                [name, *(number for one in line for number in (one.ra, one.ta))]
                for name, line in lines.items()
            ],
            "Shallow-constrained against full training, bundled model",
        ),
    )  # fmt: skip


def _label(key: tuple[str, str]) -> str:
    anchor, kind = key
    return f"{ANCHORS[anchor]}; {'all three' if anchor == 'clean' else kind}"


def _draw(
    study: Study, names: Sequence[str], small: Mapping[str, Sequence[float]], full: Ways
) -> Picture:
    large = {way: [one.ra for one in each.values()] for way, each in full.items()}
    figure = new_figure(3.0 + 1.9 * len(names), 6.6)
    words = [name.replace("_", " ") for name in names]
    for axes, title, groups in zip(
        figure.subplots(2, 1),
        ("anchors and differences, small network", "what trains, bundled model"),
        (small, large),
        strict=True,
    ):
        bars(tidy(axes), words, groups, (CLEAN, *COLOURS, LINE), y="RA in %", size=10)
        axes.set_title(title, fontsize=10, loc="left")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    words_of_it = "RA by anchor and difference; shallow-constrained against full training"
    return draw(study, words_of_it, figure)
