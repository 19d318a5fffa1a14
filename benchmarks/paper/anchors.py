"""Which anchor, with projection or without; and shallow-constrained against full training.

    python -m benchmarks.paper.anchors --data NAME:PATH

A small network of its own, so that all three anchors lie on one path to one clean model: it is
pre-trained to say which way is up, folded, given a new last layer (anchor 1), trained on the
classes to an early checkpoint (anchor 3), and on to the clean model (anchor 2). From each anchor a
shallow-constrained counterpart is trained for each corruption, all for equally long. The second
part compares the bundled patches with robust models that were trained in full and cut.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from torch import nn

from benchmarks.paper.anchor_path import (
    ANCHORS,
    PROJECTED,
    UNPROJECTED,
    WHOLE,
    AnchorPath,
    differences,
    train_path,
)
from benchmarks.paper.cutting import cut
from benchmarks.paper.pages import (
    CLEAN,
    COLOURS,
    LINE,
    Picture,
    Table,
    new_figure,
    save_figure,
    tidy,
    write_blocks,
)
from benchmarks.paper.settings import AnchorsSettings
from benchmarks.paper.study import Study, start
from rwsstore.errors import ConfigError
from rwsstore.making import starting_point
from rwsstore.measure.accuracy import Predict
from rwsstore.models import shallowest
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.training import RobustRecipe


@dataclass(frozen=True)
class Measured:
    """A patch, or none, on one corruption; percent.

    Attributes:
        validation: RA on validation images.
        ra: on test images.
        ta: on clean test images.
    """

    validation: float
    ra: float
    ta: float


@dataclass(frozen=True)
class Outcome:
    """One difference as a patch.

    Attributes:
        full: at α = 1.
        best: at the α that is best on validation images.
        alpha: that one.
    """

    full: Measured
    best: Measured
    alpha: float


def run(study: Study) -> None:
    """Train, measure, write the page and the picture."""
    settings, names = _settings(study), study.settings.corruptions
    path = train_path(study, settings)
    none, full = {}, {}
    found: dict[tuple[str, str], dict[str, Outcome]] = {}
    with study.progress.task("anchors", total=len(names) * (1 + len(ANCHORS))) as task:
        for name in names:
            none[name] = _measured(study, "small/none", LiveModel(path.clean).variant({}), name)
            for anchor in ANCHORS:
                for kind, outcome in _outcomes(study, settings, path, anchor, name).items():
                    found.setdefault((anchor, kind), {})[name] = outcome
                task.advance(note=f"{anchor}, {name}")
        for name in names:
            full[name] = _against_full(study, name)
            task.advance(note=f"full training, {name}")
    _write(study, none, found, full)


def _settings(study: Study) -> AnchorsSettings:
    if study.settings.anchors is None:
        raise ConfigError("the settings have no part [anchors]: this study needs it")
    return study.settings.anchors


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
    return {
        kind: make_patch(
            kind="rws",
            name=corruption,
            model=identify(states[0]),
            layers=tuple(layer.name for layer in layers),
            deltas=deltas,
            bits=32,
        )
        for kind, deltas in differences(names, *states).items()
        if kind in kinds
    }


def _outcomes(
    study: Study, settings: AnchorsSettings, path: AnchorPath, anchor: str, corruption: str
) -> dict[str, Outcome]:
    patches = candidates(study, settings, path, anchor, corruption)
    return {
        kind: _outcome(study, settings, path.clean, patch, f"{anchor}/{kind}")
        for kind, patch in patches.items()
    }


def _outcome(
    study: Study, settings: AnchorsSettings, clean: nn.Module, patch: Patch, key: str
) -> Outcome:
    live = LiveModel(clean, PatchBag([patch]))
    labels = study.validation.labels
    images = partial(study.corrupted, study.validation, patch.name)

    def validation(alpha: float) -> float:
        variant = live.variant({patch.digest: alpha})
        return study.measure(f"{key}/{alpha:g}/{patch.name}/validation", variant, images, labels)

    def measured(alpha: float) -> Measured:
        variant = live.variant({patch.digest: alpha})
        return _measured(study, f"{key}/{alpha:g}", variant, patch.name)

    best = max(settings.alphas, key=validation)
    return Outcome(measured(1.0), measured(best), best)


def _measured(study: Study, key: str, predict: Predict, corruption: str) -> Measured:
    test, validation = study.test, study.validation
    key = f"{key}/{corruption}"
    return Measured(
        validation=study.measure(
            f"{key}/validation",
            predict,
            partial(study.corrupted, validation, corruption),
            validation.labels,
        ),
        ra=study.measure(
            f"{key}/ra", predict, partial(study.corrupted, test, corruption), test.labels
        ),
        ta=study.measure(f"{key}/ta", predict, test.images, test.labels),
    )


NO_PATCH, BUNDLED = "no patch", "shallow-constrained (bundled)"
CUT, ROBUST = "trained in full, cut", "the whole robust model"


def ways(study: Study, corruption: str) -> dict[str, Predict]:
    """The bundled patch, the same layers of a fully trained model, and that model itself."""
    patch = study.patches([corruption], wide=study.wide is not None)[corruption]
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


def _against_full(study: Study, corruption: str) -> dict[str, Measured]:
    return {
        name: _measured(study, f"large/{name}", predict, corruption)
        for name, predict in ways(study, corruption).items()
    }


def _write(
    study: Study,
    none: Mapping[str, Measured],
    found: Mapping[tuple[str, str], Mapping[str, Outcome]],
    full: Mapping[str, Mapping[str, Measured]],
) -> None:
    settings = _settings(study)
    picture = _draw(study, none, found, full)
    blocks: list[str | Table | Picture] = [
        _about(study, settings),
        _best_anchor(found, none),
        Picture(picture, "RA by anchor and difference; shallow-constrained against full training"),
        Table(*_means(none, found), title=f"Means over {', '.join(study.settings.corruptions)}"),
        Table(*_by_corruption(none, found), title="RA on the test images, α = 1"),
        _about_full(study, full),
        Table(*_full(full), title="Shallow-constrained against full training, bundled model"),
    ]
    write_blocks(study, "Anchors, projection, and what trains", blocks)


def _about(study: Study, settings: AnchorsSettings) -> str:
    return (
        f"Accuracy in %. A network of width {settings.width:g} was trained "
        f"{settings.pretraining.epochs} epochs to say by how many quarter turns an image is "
        f"rotated, folded, given a new last layer (anchor 1), and trained {settings.clean.epochs} "
        f"epochs on the classes (anchor 2); anchor 3 is the checkpoint after {settings.early} of "
        f"them. From each anchor the shallowest {settings.layers} layers were trained "
        f"{settings.training.epochs} epochs for each corruption at severity "
        f"{study.settings.severity}, the clean model's deep ones behind them; patches at 32 bits. "
        "For anchor 2 the three differences are the same. θ_c − θ_std at α = 1 is the trained "
        "counterpart itself. The best α is chosen on validation images."
    )


def _mean(measured: Iterable[Measured]) -> Measured:
    every = list(measured)
    return Measured(
        validation=fmean(one.validation for one in every),
        ra=fmean(one.ra for one in every),
        ta=fmean(one.ta for one in every),
    )


def _label(anchor: str, kind: str) -> str:
    return f"{ANCHORS[anchor]}; {'all three' if anchor == 'clean' else kind}"


def _best_anchor(
    found: Mapping[tuple[str, str], Mapping[str, Outcome]], none: Mapping[str, Measured]
) -> str:
    means = {key: _mean(one.full for one in outcomes.values()) for key, outcomes in found.items()}
    order = sorted(means, key=lambda key: -means[key].validation)
    said = ", ".join(f"{_label(*key)} {means[key].ra:.1f}" for key in order)
    return (
        f"RA on the test images at α = 1, mean over the corruptions, the best on validation images "
        f"first: {said}. Without a patch: {_mean(none.values()).ra:.1f}."
    )


def _means(
    none: Mapping[str, Measured], found: Mapping[tuple[str, str], Mapping[str, Outcome]]
) -> tuple[list[str], list[list[str]]]:
    header = ["anchor; difference", "validation RA", "RA", "TA"]
    header += ["validation RA, best α", "RA, best α", "TA, best α", "mean best α"]
    rows = [[NO_PATCH, *_three(_mean(none.values())), "", "", "", ""]]
    for key, outcomes in found.items():
        full, best = (
            _mean(getattr(one, name) for one in outcomes.values()) for name in ("full", "best")
        )
        alpha = fmean(one.alpha for one in outcomes.values())
        rows.append([_label(*key), *_three(full), *_three(best), f"{alpha:.2f}"])
    return header, rows


def _three(measured: Measured) -> list[str]:
    return [f"{measured.validation:.1f}", f"{measured.ra:.1f}", f"{measured.ta:.1f}"]


def _by_corruption(
    none: Mapping[str, Measured], found: Mapping[tuple[str, str], Mapping[str, Outcome]]
) -> tuple[list[str], list[list[str]]]:
    rows = [[NO_PATCH, *(f"{one.ra:.1f}" for one in none.values())]]
    for key, outcomes in found.items():
        rows.append([_label(*key), *(f"{one.full.ra:.1f}" for one in outcomes.values())])
    return ["anchor; difference", *none], rows


def _about_full(study: Study, full: Mapping[str, Mapping[str, Measured]]) -> str:
    name = next(iter(full))
    patch = study.patches([name], wide=study.wide is not None)[name]
    recipe = patch.metadata.recipe
    epochs = None if recipe is None else recipe.parameters.get("epochs")
    trained = "" if epochs is None else f", {epochs} epochs"
    means = {way: _mean(one[way] for one in full.values()) for way in full[name]}
    return (
        f"On the bundled model, from the clean model as anchor: the bundled patches at "
        f"{patch.metadata.bits} bits ({len(patch.metadata.layers)} layers{trained}), and "
        f"counterparts of which all layers were trained ({study.settings.robust.epochs} epochs), "
        f"cut to the same layers. On validation images the bundled patches reach "
        f"{means[BUNDLED].validation:.1f} % RA, the cut ones {means[CUT].validation:.1f} %, the "
        f"whole robust models {means[ROBUST].validation:.1f} %; on test images "
        f"{means[BUNDLED].ra:.1f}, {means[CUT].ra:.1f} and {means[ROBUST].ra:.1f} %."
    )


def _full(full: Mapping[str, Mapping[str, Measured]]) -> tuple[list[str], list[list[str]]]:
    ways = (NO_PATCH, BUNDLED, CUT, ROBUST)
    header = ["corruption", *(f"{what}, {way}" for way in ways for what in ("RA", "TA"))]
    lines = {**full, "mean": {way: _mean(one[way] for one in full.values()) for way in ways}}
    rows = [
        [name, *(f"{number:.1f}" for way in ways for number in (line[way].ra, line[way].ta))]
        for name, line in lines.items()
    ]
    return header, rows


def _draw(
    study: Study,
    none: Mapping[str, Measured],
    found: Mapping[tuple[str, str], Mapping[str, Outcome]],
    full: Mapping[str, Mapping[str, Measured]],
) -> Path:
    names = list(none)
    small = {NO_PATCH: [none[name].ra for name in names]}
    small |= {_label(*key): [one[name].full.ra for name in names] for key, one in found.items()}
    ways = (NO_PATCH, BUNDLED, CUT, ROBUST)
    large = {way: [full[name][way].ra for name in names] for way in ways}
    figure = new_figure(3.0 + 1.9 * len(names), 6.6)
    for row, (title, bars) in enumerate(
        (("anchors and differences, small network", small), ("what trains, bundled model", large)),
        start=1,
    ):
        axes = tidy(figure.add_subplot(2, 1, row))
        for place, (label, heights) in enumerate(bars.items()):
            shift = 0.84 * ((place + 0.5) / len(bars) - 0.5)
            at = [x + shift for x in range(len(names))]
            colour = CLEAN if label == NO_PATCH else (*COLOURS, LINE)[place - 1]
            axes.bar(at, heights, 0.84 / len(bars), label=label, color=colour)
        axes.set_xticks(range(len(names)), [name.replace("_", " ") for name in names])
        axes.set_ylim(0, 100)
        axes.set_ylabel("RA in %")
        axes.set_title(title, fontsize=10, loc="left")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    return save_figure(study, figure)


def main() -> None:
    start("anchors", run, __doc__)


if __name__ == "__main__":
    main()
