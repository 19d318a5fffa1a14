"""TA, RA and bytes: Tables 1, 4 and 5 by method, Figure 6 by the number of patched layers K.

Figure 6 has two protocols. The paper's: the robust counterpart is trained in full and cut to its
shallowest K layers. Shallow-constrained: the counterpart is trained with everything behind the K-th
layer frozen, so that the patch is the whole difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from torch import nn

from benchmarks.paper import pages
from benchmarks.paper.pages import CLEAN, COLOURS, LINE, PATCHED, table
from benchmarks.paper.study import Study
from rwsstore import models
from rwsstore.drawing import new_figure
from rwsstore.errors import ConfigError
from rwsstore.measure.accuracy import Predict
from rwsstore.patches import Patch
from rwsstore.training import AugmentedRecipe, RobustRecipe

_STORED = "RWS, 8 bits"
_TOLERATED = 0.5
"""Points by which a patch may be worse than none before it is named."""

_BUNDLED = 5
"""K of the bundled patches, and of the paper."""


@dataclass(frozen=True)
class Method:
    """A way to be robust, measured: RA and TA in percent, by the corruption that it is set for."""

    name: str
    ra: dict[str, float] = field(default_factory=dict)
    ta: dict[str, float] = field(default_factory=dict)
    # Bytes beside the clean model: payload, and whole file.
    carried: dict[str, tuple[int, int]] = field(default_factory=dict)
    layers: int = 0  # K, where it is of the shallowest

    @property
    def means(self) -> tuple[float, float]:
        return fmean(self.ra.values()), fmean(self.ta.values())

    @property
    def payload(self) -> int:
        return sum(payload for payload, _ in self.carried.values())

    @property
    def shallow(self) -> bool:
        return self.name.startswith("RWS") and "all" not in self.name


def _measure(
    study: Study, found: Method, each: Mapping[str, tuple[Predict, tuple[int, int]]], key: str
) -> Method:
    """Measure the model of each corruption on its images and on clean ones.

    The key has places for what is measured and for the corruption.
    """
    alone = len({id(predict) for predict, _ in each.values()}) == 1
    for name in study.each(found.name, each):
        predict, found.carried[name] = each[name]
        found.ra[name] = study.seen(key.format("ra", name), predict, name)
        # One model for all has one TA.
        ta = key.format("ta", "").rstrip("/") if alone else key.format("ta", name)
        found.ta[name] = study.seen(ta, predict)
    return found


def _measure_patches(study: Study, found: Method, patches: Mapping[str, Patch], key: str) -> Method:
    live = study.live(patches.values())
    carried = {
        corruption: (live.variant({patch.digest: None}), (patch.payload_bytes, patch.file_bytes))
        for corruption, patch in patches.items()
    }
    return _measure(study, found, carried, key)


def _measure_clean(study: Study, names: Sequence[str]) -> Method:
    nothing = dict.fromkeys(names, (study.live([]), (0, 0)))
    return _measure(study, Method("clean model"), nothing, "clean/{}/{}")


def run(study: Study, *, augmented: Path | None = None) -> None:
    """Tables 1, 4 and 5; `augmented` is a checkpoint of the one model on all corruptions."""
    names, five = study.settings.tables.corruptions, study.settings.corruptions
    study.patches(names, wide=True)  # else nothing is trained
    other = _augmented(study, augmented)
    large, small = (_methods(study, chosen, other) for chosen in (names, five))
    small += [measure_robust(study, five), measure_all_layers(study, five)]
    size = _model_bytes(study)
    every = [*large, *small[len(large) :]]
    patched = [method for method in large if method.shallow]
    harmed = [
        f"{name} at {method.name.removeprefix('RWS, ')}"
        for method in patched
        for name, ra in method.ra.items()
        if ra < large[0].ra[name] - _TOLERATED
    ]
    pages.write_page(
        study,
        size=size,
        tolerated=_TOLERATED,
        harmed=", ".join(harmed) or "none",
        large=_by_method(large, size, f"{len(names)} corruptions"),
        bars=_draw_bars(study, large),
        small=_by_method(small, size, f"Five corruptions: {', '.join(five)}"),
        bytes=_draw_bytes(study, small, size),
        ra=table(
            ["corruption", *(method.name for method in every)],
            [[name, *(method.ra.get(name) for method in every)] for name in names],
            "RA by corruption",
        ),
        ta=table(
            ["corruption", *(method.name for method in patched)],
            [[name, *(method.ta[name] for method in patched)] for name in names],
            "TA with the patch on",
        ),
        frost=[pages.SYNTHETIC_FROST] if "frost" in names else [],
    )


def _methods(study: Study, names: Sequence[str], other: models.Classifier) -> list[Method]:
    """The clean model, another one on all corruptions, and the patches at each number of bits."""
    stored, wide = study.patches(names), study.patches(names, wide=True)
    # The checkpoint may come from elsewhere: its numbers are its own.
    key = f"augmented-{models.weights_fingerprint(other.state_dict())[:16]}/{{}}/{{}}"
    found = [
        _measure_clean(study, names),
        _measure(study, Method("data augmentation"), dict.fromkeys(names, (other, (0, 0))), key),
    ]
    for bits in study.settings.tables.bits:
        patches = stored if bits == 8 else wide
        chosen = {name: patch.at_bits(bits) for name, patch in patches.items()}
        method, key = Method(f"RWS, {bits} bits"), f"rws{bits}/{{}}/{{}}"
        found.append(_measure_patches(study, method, chosen, key))
    return found


def _augmented(study: Study, path: Path | None) -> models.Classifier:
    clean, config = study.clean, study.settings.augmented
    if path is not None:
        model = models.load_clean_model(path)
        found, wanted = (models.architecture_fingerprint(m.state_dict()) for m in (model, clean))
        if found != wanted or model.spec.classes != clean.spec.classes:
            raise ConfigError(
                f"--augmented {path} is another network than the clean model, or has other classes"
            )
        return model
    recipe = AugmentedRecipe(study.settings.tables.corruptions, study.settings.severity)
    begin = study.untrained(config.seed, batch_norm=clean.spec.batch_norm)
    return models.fold_batchnorm(study.trained("augmented", recipe, begin, config))


def measure_robust(study: Study, names: Sequence[str]) -> Method:
    size = _model_bytes(study)
    whole = {name: (study.robust(name), (size, size)) for name in names}
    return _measure(study, Method("one robust model each"), whole, "robust/{}/{}")


def measure_all_layers(study: Study, names: Sequence[str]) -> Method:
    """The same models' signatures over all layers, as patches."""
    bits, depth = study.settings.tables.all_layers_bits, len(models.ordered_layers(study.clean))
    patches = {name: study.cut(study.robust(name), name, layers=depth, bits=bits) for name in names}
    method = Method(f"RWS, all layers, {bits} bits")
    return _measure_patches(study, method, patches, f"all{bits}/{{}}/{{}}")


def _model_bytes(study: Study) -> int:
    return sum(t.numel() * t.element_size() for t in study.clean.state_dict().values())


def _by_method(methods: Sequence[Method], size: int, title: str) -> str:
    header = [
        "method", "mean RA", "gap recovered", "TA", "payload bytes", "file bytes",
        "payload / model",
    ]  # fmt: skip
    rows = []
    base, whole = methods[0].means
    for method in methods:
        ra, ta = method.means
        gap = (ra - base) / (whole - base) if whole > base else None
        file = sum(file for _, file in method.carried.values())
        rows.append([method.name, ra, gap, ta, method.payload, file, method.payload / size])
    return table(header, rows, title, (".1f", ".1f", ".2f", ".1f", "", "", ".3f"))


def _draw_bars(study: Study, large: Sequence[Method]) -> str:
    """The clean model, data augmentation and the stored patches, corruption by corruption."""
    names = list(large[0].ra)
    figure, axes = pages.chart(2.2 + 0.62 * len(names), 4.2)
    stored = next((method for method in large if method.name == _STORED), large[-1])
    groups = {one.name: [one.ra[name] for name in names] for one in (*large[:2], stored)}
    words = [name.replace("_", "\n") for name in names]
    pages.bars(axes, words, groups, (CLEAN, COLOURS[1], PATCHED), size=7)
    _, ta = large[0].means
    axes.axhline(ta, color=LINE, linestyle="--", linewidth=1)
    axes.text(len(names) - 0.45, ta + 1, "clean images", ha="right", color=LINE, fontsize=8)
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return pages.draw(study, "RA of each corruption by method", figure)


def _draw_bytes(study: Study, small: Sequence[Method], size: int) -> str:
    """Mean RA against what is carried; the shallow patches as one line."""
    figure, axes = pages.chart(7, 4)
    line = [(one.payload / size, one.means[0]) for one in small if one.shallow]
    label = "RWS, shallowest layers, by bits"
    axes.plot(*zip(*line, strict=True), "o-", color=PATCHED, label=label)
    for method in small:
        share, ra = method.payload / size, method.means[0]
        if not share:
            axes.axhline(ra, color=LINE, linestyle="--", linewidth=1)
            axes.annotate(
                method.name, (0.01, ra), (0, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=8, color=LINE,
            )  # fmt: skip
            continue
        label = method.name
        if method.shallow:
            label = label.removeprefix("RWS, ").removesuffix(" bits")
        else:
            axes.plot([share], [ra], "o", color=COLOURS[1])
        left = "all layers" in method.name
        axes.annotate(
            label, (share, ra), (-8, -3) if left else (0, 7),
            textcoords="offset points", fontsize=8, ha="right" if left else "center",
        )  # fmt: skip
    axes.set_xscale("log")
    where = "payload of all patches or models / the clean model's bytes"
    pages.label_axes(axes, where, "mean RA in %")
    axes.margins(x=0.2, y=0.15)
    return pages.draw(study, "RA against bytes, five corruptions", figure, "bytes")


def run_layers(study: Study) -> None:
    names, wanted = study.settings.corruptions, study.settings.layers.constrained
    depth = len(models.ordered_layers(study.clean))
    if wanted and wanted[-1] > depth:
        raise ConfigError(f"layers.constrained names K = {wanted[-1]}; the model has {depth}")
    robust = {name: study.robust(name) for name in names}
    full = [_cut(study, "full", layers, robust) for layers in range(1, depth + 1)]
    shallow = [
        _cut(study, "constrained", k, {name: constrained(study, name, k) for name in names})
        for k in wanted
    ]
    base = _measure_clean(study, names)
    size = sum(4 * tensor.numel() for tensor in study.clean.parameters())
    epochs = pages.counted(study.settings.layers.training.epochs, "epoch")
    trained = f" Constrained is trained with the deeper layers frozen, for {epochs}."
    pages.write_page(
        study,
        ra=base.means[0],
        ta=base.means[1],
        trained=trained if wanted else "",
        sentences=_sentences(full, shallow),
        picture=_draw_layers(study, base, full, shallow, size),
        summary=_summary(full, shallow, size),
        full=_single(full, "full and cut"),
        constrained=[_single(shallow, "constrained")] if shallow else [],
    )


def constrained(study: Study, corruption: str, layers: int) -> nn.Module:
    """The counterpart of which only the shallowest layers were trained."""
    recipe = RobustRecipe(corruption, study.settings.severity, layers=layers)
    training = study.settings.layers.training
    return study.trained(f"shallow{layers}-{corruption}", recipe, study.clean, training)


def _cut(study: Study, protocol: str, layers: int, counterparts: Mapping[str, nn.Module]) -> Method:
    """Measure one K of one protocol, of counterparts by corruption."""
    bits = study.settings.layers.bits
    patches = {
        name: study.cut(robust, name, layers=layers, bits=bits)
        for name, robust in counterparts.items()
    }
    method = Method(f"K = {layers}, {protocol}", layers=layers)
    return _measure_patches(study, method, patches, f"{protocol}/{layers}/{{1}}/{{0}}")


def _sentences(full: Sequence[Method], shallow: Sequence[Method]) -> str:
    """What the K of the bundled patches reaches, and the best K."""
    said = ""
    for word, methods in (("Full and cut", full), ("Constrained", shallow)):
        for ra, ta in (one.means for one in methods if one.layers == _BUNDLED):
            said += f"{word}, K = {_BUNDLED} reaches {ra:.1f} % RA with {ta:.1f} % TA. "
    best = max(full, key=lambda found: found.means[0])
    highest = f"the highest mean RA is {best.means[0]:.1f} %, at K = {best.layers}."
    return f"{said}Cut from full training, {highest}"


def _summary(full: Sequence[Method], shallow: Sequence[Method], size: int) -> str:
    between = ["RA, constrained", "TA, constrained"] if shallow else []
    header = [
        "K", "RA, full and cut", "TA, full and cut", *between,
        "payload of all patches", "payload / model",
    ]  # fmt: skip
    beside = {found.layers: found.means for found in shallow}
    rows = []
    for found in full:
        constrained = beside.get(found.layers, [None] * len(between))
        share = f"{found.payload / size:.3f}"
        rows.append([str(found.layers), *found.means, *constrained, found.payload, share])
    return table(header, rows, "Means")


def _single(methods: Sequence[Method], word: str) -> str:
    rows = [[str(found.layers), *found.ra.values()] for found in methods]
    return table(["K", *methods[0].ra], rows, f"RA by corruption, {word}")


def _draw_layers(
    study: Study, base: Method, full: Sequence[Method], shallow: Sequence[Method], size: int
) -> str:
    figure = new_figure(9.5, 3.9)
    left, right = map(pages.tidy, figure.subplots(1, 2))
    looks = ((full, "full and cut", PATCHED), (shallow, "constrained", COLOURS[1]))
    for methods, label, colour in looks:
        drawn = [base, *methods] if methods else []
        places = [found.layers for found in drawn]
        for number, (what, style) in enumerate((("RA", "o-"), ("TA", "s--"))):
            means = [found.means[number] for found in drawn]
            left.plot(places, means, style, ms=4, color=colour, label=f"{what}, {label}")
    pages.label_axes(left, "patched layers K", "mean accuracy in %")
    places = [found.layers for found in (base, *full)]
    each = [100 * found.payload / size / len(base.ra) for found in (base, *full)]
    right.plot(places, each, "o-", ms=4, color=PATCHED)
    right.set_ylabel("payload of one patch, % of the model")
    right.set_xlabel("patched layers K")
    for axes in (left, right):
        axes.set_xticks(places)
    return pages.draw(study, "RA, TA and bytes against the number of patched layers", figure)
