"""Which anchor, with projection or without; and shallow-constrained against full training.

A small network of its own, so that all three anchors lie on one path to one clean model: it is
pre-trained to say which way is up, folded, given a new last layer (anchor 1), trained on the
classes to an early checkpoint (anchor 3), and on to the clean model (anchor 2). From each anchor a
shallow-constrained counterpart is trained for each corruption, all for equally long. The second
part compares the bundled patches with robust models that were trained in full and cut.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.paper import pages
from benchmarks.paper.pages import CLEAN, COLOURS, LINE, table
from benchmarks.paper.settings import AnchorsSettings
from benchmarks.paper.study import Study
from rwsstore.data import ImageSet
from rwsstore.drawing import new_figure
from rwsstore.errors import ConfigError
from rwsstore.files import make_folders, write_atomic
from rwsstore.making import signature, starting_point
from rwsstore.measure.accuracy import Predict
from rwsstore.models import fold_batchnorm, ordered_layers, shallowest
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.training import CleanRecipe, RobustRecipe, fit

Weights = Mapping[str, Tensor]

ANCHORS = {"pretrained": "1: pre-trained", "clean": "2: the clean model", "early": "3: early"}
"""Names of the anchors, numbered as in docs/use/signatures.md."""

PROJECTED, UNPROJECTED, WHOLE = "RWS (projected)", "v_c (not projected)", "θ_c − θ_std"
"""Three differences that could be the patch."""

NO_PATCH, BUNDLED = "no patch", "shallow-constrained (bundled)"
CUT, ROBUST = "trained in full, cut", "the whole robust model"

TURNS = 4


class Measured(NamedTuple):
    """A patch, or none, on one corruption, in percent: RA on validation and on test images, TA."""

    validation: float
    ra: float
    ta: float


class Outcome(NamedTuple):
    """One difference as a patch: at α = 1, at the α that is best on validation images, and that."""

    full: Measured
    best: Measured
    alpha: float


Ways = Mapping[str, Mapping[str, Measured]]
"""By way, then by corruption."""

AnchorPath = Mapping[str, nn.Module]
"""By the names of `ANCHORS`, each folded: θ_pre, its last layer new; after the first epochs on the
classes; and θ_std, the end."""


def train_path(study: Study, settings: AnchorsSettings) -> AnchorPath:
    """Pre-train, fold, train on the classes, and keep the early checkpoint on the way."""
    start = study.untrained(width=settings.width)
    upright = replace(study, validation=turned_set(study.validation))
    turning = upright.trained("anchors-rotation", RotationRecipe(), start, settings.pretraining)
    pretrained = fold_batchnorm(turning)
    # The turns' logits would be a head start for the first four classes.
    last = ordered_layers(pretrained)[-1].parameters
    fresh = study.untrained(study.settings.seed + 1, width=settings.width).state_dict()
    pretrained.load_state_dict({**pretrained.state_dict(), **{name: fresh[name] for name in last}})
    early = _early(study, settings, pretrained)
    clean = study.trained("anchors-clean", CleanRecipe(), pretrained, settings.clean)
    return {"pretrained": pretrained, "early": early, "clean": clean}


def _early(study: Study, settings: AnchorsSettings, pretrained: nn.Module) -> nn.Module:
    """The clean run's early checkpoint; the run itself goes on from there, if it has not begun."""
    make_folders(study.work)
    kept = study.work / "anchors-early.state"
    result = fit(
        pretrained, CleanRecipe(), study.train, study.validation, settings.clean,
        label="anchors-early", state_file=kept, mode=study.mode(pretrained, settings.clean),
        stop_after=settings.early, progress=study.progress,
    )  # fmt: skip
    finished, going = (study.work / f"anchors-clean.{end}" for end in ("safetensors", "state"))
    if not finished.exists() and not going.exists():
        write_atomic(going, kept.read_bytes())
    return result.model


def turned(images: Tensor) -> tuple[Tensor, Tensor]:
    """Turn image i of a batch by i mod 4 quarter turns.

    Pre-training without labels asks which way is up (Gidaris et al., ICLR 2018); the first four
    logits stand for the four turns. The authors show each image in all four turns at once; here a
    quarter as many a step, which an epoch's random order makes up for. Images are [B, 3, S, S],
    turns int64 [B] in 0..3.
    """
    turns = torch.arange(len(images)) % TURNS
    result = images.clone()
    for turn in range(1, TURNS):
        result[turn::TURNS] = images[turn::TURNS].rot90(turn, (2, 3))
    return result, turns


def turned_set(images: ImageSet) -> ImageSet:
    """The same for a whole set, the turns in place of the classes; these must be four or more."""
    if len(images.classes) < TURNS:
        raise ConfigError(
            f"{len(images.classes)} classes; pre-training on quarter turns needs a network with "
            f"{TURNS} logits or more"
        )
    pictures, turns = turned(images.images)
    return replace(images, images=pictures, labels=turns, name=f"{images.name}, turned")


class RotationRecipe(CleanRecipe):
    """Training on quarter turns, made of each batch after crop and flip; labels are not used."""

    name = "rotation"

    def loss(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,  # noqa: ARG002  # that is the point
        smoothing: float,
    ) -> Tensor:
        """Cross-entropy of the turns."""
        pictures, turns = turned(images)
        return F.cross_entropy(model(pictures).float(), turns, label_smoothing=smoothing)


def differences(
    names: Sequence[str], clean: Weights, robust: Weights, anchor: Weights
) -> dict[str, dict[str, Tensor]]:
    """What could be the patch: RWS, v_c = θ_c − θ_init, and θ_c − θ_std; float64 by tensor name.

    Where the anchor is the clean model all three are the same.
    """
    return {
        PROJECTED: signature(names, clean=clean, robust=robust, anchor=anchor),
        UNPROJECTED: signature(names, clean=anchor, robust=robust, anchor=None),
        WHOLE: signature(names, clean=clean, robust=robust, anchor=None),
    }


def candidates(
    study: Study, settings: AnchorsSettings, path: AnchorPath, anchor: str, corruption: str
) -> dict[str, Patch]:
    """Train one counterpart and make a patch of each difference that could be its patch."""
    init, clean = path[anchor], path["clean"]
    layers = shallowest(clean, settings.layers)
    names = [name for layer in layers for name in layer.parameters]
    robust = study.trained(
        f"anchors-{anchor}-{corruption}",
        RobustRecipe(corruption, study.settings.severity, layers=settings.layers),
        starting_point(clean, init, names),
        settings.training,
    )
    states = clean.state_dict(), robust.state_dict(), init.state_dict()
    kinds = (WHOLE,) if anchor == "clean" else (PROJECTED, UNPROJECTED, WHOLE)
    found, model = differences(names, *states), identify(states[0])
    paths = tuple(layer.name for layer in layers)
    return {
        kind: make_patch(
            kind="rws", name=corruption, model=model, layers=paths, deltas=found[kind], bits=32
        )
        for kind in kinds
    }


def ways(study: Study, corruption: str) -> dict[str, Predict]:
    """The bundled patch, the same layers of a fully trained model, and that model itself."""
    patch = _bundled(study, corruption)
    robust = study.robust(corruption)
    layers, bits = len(patch.metadata.layers), patch.metadata.bits
    assert bits is not None  # only composed patches have none
    return {
        NO_PATCH: study.live([]),
        BUNDLED: study.patched(patch),
        CUT: study.patched(study.cut(robust, corruption, layers=layers, bits=bits)),
        ROBUST: LiveModel(robust),
    }


def _bundled(study: Study, corruption: str) -> Patch:
    return study.patches([corruption], wide=study.wide is not None)[corruption]


def run(study: Study) -> None:
    settings, names = study.settings.anchors, study.settings.corruptions
    if settings is None:
        raise ConfigError("the settings have no part [anchors]: this study needs it")
    path = train_path(study, settings)
    none: dict[str, Measured] = {}
    found: dict[str, dict[str, Outcome]] = {}
    full: dict[str, dict[str, Measured]] = {}
    for name in study.each("anchors", names):
        none[name] = _measured(study, "small/none", LiveModel(path["clean"]).variant({}), name)
        for anchor, word in ANCHORS.items():
            patches = candidates(study, settings, path, anchor, name)
            for kind, patch in patches.items():
                live = LiveModel(path["clean"], PatchBag([patch]))
                label = f"{word}; {'all three' if anchor == 'clean' else kind}"
                outcome = _outcome(study, settings.alphas, live, patch, f"{anchor}/{kind}")
                found.setdefault(label, {})[name] = outcome
    for name in study.each("full training", names):
        for way, predict in ways(study, name).items():
            full.setdefault(way, {})[name] = _measured(study, f"large/{way}", predict, name)
    _write(study, none, found, full)


def _outcome(
    study: Study, alphas: Sequence[float], live: LiveModel, patch: Patch, key: str
) -> Outcome:
    def validation(alpha: float) -> float:
        where = f"{key}/{alpha:g}/{patch.name}/validation"
        variant = live.variant({patch.digest: alpha})
        return study.seen(where, variant, patch.name, images=study.validation)

    best = max(alphas, key=validation)
    full, chosen = (
        _measured(study, f"{key}/{alpha:g}", live.variant({patch.digest: alpha}), patch.name)
        for alpha in (1.0, best)
    )
    return Outcome(full, chosen, best)


def _measured(study: Study, key: str, predict: Predict, corruption: str) -> Measured:
    key = f"{key}/{corruption}"
    return Measured(
        study.seen(f"{key}/validation", predict, corruption, images=study.validation),
        study.seen(f"{key}/ra", predict, corruption),
        study.seen(f"{key}/ta", predict),
    )


def _mean(each: Iterable[Measured]) -> Measured:
    return Measured(*(fmean(column) for column in zip(*each, strict=True)))


def _write(
    study: Study, none: Mapping[str, Measured], found: Mapping[str, Mapping[str, Outcome]],
    full: Ways,
) -> None:  # fmt: skip
    names, patch = list(none), _bundled(study, next(iter(none)))
    means, small = {}, {NO_PATCH: [one.ra for one in none.values()]}
    rows = [[NO_PATCH, *(without := _mean(none.values())), *[None] * 4]]
    for label, by_corruption in found.items():
        each = by_corruption.values()
        means[label], best = _mean(one.full for one in each), _mean(one.best for one in each)
        rows.append([label, *means[label], *best, fmean(one.alpha for one in each)])
        small[label] = [one.full.ra for one in each]
    order = sorted(means, key=lambda label: -means[label].validation)
    large = {way: _mean(each.values()) for way, each in full.items()}
    lines = {name: [one[name] for one in full.values()] for name in names}
    lines["mean"] = list(large.values())
    recipe = patch.metadata.recipe
    epochs = None if recipe is None else recipe.parameters.get("epochs")
    header = [
        "anchor; difference", "validation RA", "RA", "TA", "validation RA, best α", "RA, best α",
        "TA, best α", "mean best α",
    ]  # fmt: skip
    pages.write_page(
        study,
        order=", ".join(f"{label} {means[label].ra:.1f}" for label in order),
        without=without,
        picture=_draw(study, names, small, full),
        means=table(header, rows, f"Means over {', '.join(names)}", (*[".1f"] * 7, ".2f")),
        by_corruption=table(
            ["anchor; difference", *names],
            [[label, *heights] for label, heights in small.items()],
            "RA on the test images, α = 1",
        ),
        patch=patch,
        layers=len(patch.metadata.layers),
        trained="" if epochs is None else f", {epochs} epochs",
        bundled=large[BUNDLED],
        cut=large[CUT],
        robust=large[ROBUST],
        full=table(
            ["corruption", *(f"{what}, {way}" for way in full for what in ("RA", "TA"))],
            [
                [name, *(n for one in line for n in (one.ra, one.ta))]
                for name, line in lines.items()
            ],
            "Shallow-constrained against full training, bundled model",
        ),
    )


def _draw(
    study: Study, names: Sequence[str], small: Mapping[str, Sequence[float]], full: Ways
) -> str:
    large = {way: [one.ra for one in each.values()] for way, each in full.items()}
    figure = new_figure(3.0 + 1.9 * len(names), 6.6)
    words = [name.replace("_", " ") for name in names]
    for axes, title, groups in zip(
        figure.subplots(2, 1),
        ("anchors and differences, small network", "what trains, bundled model"),
        (small, large),
        strict=True,
    ):
        pages.bars(pages.tidy(axes), words, groups, (CLEAN, *COLOURS, LINE), y="RA in %", size=10)
        axes.set_title(title, fontsize=10, loc="left")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    caption = "RA by anchor and difference; shallow-constrained against full training"
    return pages.draw(study, caption, figure)
