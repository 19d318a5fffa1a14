"""Tables 1, 4 and 5: TA, RA and bytes by method, on all corruptions and on five."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.paper.pages import (
    CLEAN,
    COLOURS,
    LINE,
    PATCHED,
    SYNTHETIC_FROST,
    Picture,
    Table,
    bars,
    chart,
    draw,
    write_page,
)
from benchmarks.paper.study import Study
from rwsstore.errors import ConfigError
from rwsstore.measure.accuracy import Predict
from rwsstore.models import (
    Classifier,
    ModelSpec,
    architecture_fingerprint,
    build,
    fold_batchnorm,
    load_clean_model,
    ordered_layers,
    weights_fingerprint,
)
from rwsstore.patches import Patch
from rwsstore.training import AugmentedRecipe

_BUNDLED = "RWS, 8 bits"
_TOLERATED = 0.5
"""Points by which a patch may be worse than none before it is named."""

Carried = tuple[int, int]
"""Bytes that are carried for one corruption beside the clean model: payload, and whole file."""


@dataclass(frozen=True)
class Method:
    """A way to be robust, measured.

    Attributes:
        name: in the tables.
        ra: accuracy in percent by corruption, on images with it.
        ta: accuracy in percent on clean images, by the corruption that it is set for.
        carried: by the same.
    """

    name: str
    ra: Mapping[str, float]
    ta: Mapping[str, float]
    carried: Mapping[str, Carried]

    def among(self, names: Sequence[str]) -> "Method":
        """The same method on some of the corruptions."""
        ra, ta, carried = (
            {name: each[name] for name in names} for each in (self.ra, self.ta, self.carried)
        )
        return Method(self.name, ra, ta, carried)  # type: ignore[arg-type]  # values of two kinds

    @property
    def means(self) -> tuple[float, float]:
        """RA and TA over the corruptions."""
        return fmean(self.ra.values()), fmean(self.ta.values())

    @property
    def payload(self) -> int:
        """Bytes for all corruptions together."""
        return sum(payload for payload, _ in self.carried.values())

    @property
    def shallow(self) -> bool:
        """Patches of the shallowest layers."""
        return self.name.startswith("RWS") and "all" not in self.name


def run(study: Study, *, augmented: Path | None = None) -> None:
    """Train, measure, write the page and the pictures.

    Args:
        study: to run.
        augmented: checkpoint of the one model on all corruptions; trained here if None.
    """
    names, five = study.settings.tables.corruptions, study.settings.corruptions
    stored, wide = study.patches(names), study.patches(names, wide=True)
    other = _augmented(study, augmented)
    # The checkpoint may come from elsewhere: its numbers are its own.
    key = f"augmented-{weights_fingerprint(other.state_dict())[:16]}"
    large = [
        _measure(study, "clean model", "clean", dict.fromkeys(names, (study.live([]), (0, 0)))),
        _measure(study, "data augmentation", key, dict.fromkeys(names, (other, (0, 0)))),
    ]
    for bits in study.settings.tables.bits:
        patches = stored if bits == 8 else wide
        chosen = {name: patch.at_bits(bits) for name, patch in patches.items()}
        large.append(_measure_patches(study, f"RWS, {bits} bits", f"rws{bits}", chosen))
    small = [method.among(five) for method in large]
    small += [measure_robust(study, five), measure_all_layers(study, five)]
    _write(study, large, small)


def _augmented(study: Study, path: Path | None) -> Classifier:
    """The one model on all corruptions, folded."""
    if path is not None:
        model = load_clean_model(path)
        found, wanted = (architecture_fingerprint(m.state_dict()) for m in (model, study.clean))
        if found != wanted or model.spec.classes != study.clean.spec.classes:
            raise ConfigError(
                f"--augmented {path} is another network than the clean model, or has other classes"
            )
        return model
    config, wanted_names = study.settings.augmented, study.settings.tables.corruptions
    spec = ModelSpec(**{**study.clean.spec.model_dump(), "folded": False})
    recipe = AugmentedRecipe(wanted_names, study.settings.severity)
    trained = study.trained("augmented", recipe, build(spec, seed=config.seed), config)
    assert isinstance(trained, Classifier)  # a copy of what was built
    return fold_batchnorm(trained)


def measure_robust(study: Study, names: Sequence[str]) -> Method:
    """A whole robust model for each corruption."""
    size = _model_bytes(study)
    models = {name: (study.robust(name), (size, size)) for name in names}
    return _measure(study, "one robust model each", "robust", models)


def measure_all_layers(study: Study, names: Sequence[str]) -> Method:
    """The same models' signatures over all layers, as patches."""
    bits, depth = study.settings.tables.all_layers_bits, len(ordered_layers(study.clean))
    patches = {name: study.cut(study.robust(name), name, layers=depth, bits=bits) for name in names}
    return _measure_patches(study, f"RWS, all layers, {bits} bits", f"all{bits}", patches)


def _model_bytes(study: Study) -> int:
    return sum(t.numel() * t.element_size() for t in study.clean.state_dict().values())


def _measure_patches(study: Study, name: str, key: str, patches: Mapping[str, Patch]) -> Method:
    live = study.live(patches.values())
    models = {
        corruption: (live.variant({patch.digest: None}), (patch.payload_bytes, patch.file_bytes))
        for corruption, patch in patches.items()
    }
    return _measure(study, name, key, models)


def _measure(
    study: Study, name: str, key: str, models: Mapping[str, tuple[Predict, Carried]]
) -> Method:
    """Measure the model of each corruption on its images and on clean ones."""
    ra, ta = {}, {}
    alone = len({id(predict) for predict, _ in models.values()}) == 1
    with study.progress.task(name, total=len(models)) as task:
        for corruption, (predict, _) in models.items():
            ra[corruption] = study.seen(f"{key}/ra/{corruption}", predict, corruption)
            # One model for all has one TA.
            ta[corruption] = study.seen(f"{key}/ta" if alone else f"{key}/ta/{corruption}", predict)
            task.advance(note=f"{corruption}: {ra[corruption]:.1f} %")
    return Method(name, ra, ta, {where: carried for where, (_, carried) in models.items()})


def _write(study: Study, large: Sequence[Method], small: Sequence[Method]) -> None:
    size = _model_bytes(study)
    names, five = tuple(large[0].ra), tuple(small[0].ra)
    every = [*large, *small[len(large) :]]
    patched = [method for method in large if method.shallow]
    write_page(
        study,
        size=size,
        tolerated=_TOLERATED,
        harmed=", ".join(_harmed(large[0], patched)) or "none",
        large=_by_method(large, size, f"{len(names)} corruptions"),
        bars=_draw_bars(study, large),
        small=_by_method(small, size, f"Five corruptions: {', '.join(five)}"),
        bytes=_draw_bytes(study, small, size),
        ra=Table(
            ["corruption", *(method.name for method in every)],
            [[name, *(method.ra.get(name) for method in every)] for name in names],
            "RA by corruption",
        ),
        ta=Table(
            ["corruption", *(method.name for method in patched)],
            [[name, *(method.ta[name] for method in patched)] for name in names],
            "TA with the patch on",
        ),
        frost=[SYNTHETIC_FROST] if "frost" in names else [],
    )


def _harmed(clean: Method, patched: Sequence[Method]) -> list[str]:
    return [
        f"{name} at {method.name.removeprefix('RWS, ')}"
        for method in patched
        for name, ra in method.ra.items()
        if ra < clean.ra[name] - _TOLERATED
    ]


def _by_method(methods: Sequence[Method], size: int, title: str) -> Table:
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
    return Table(header, rows, title, (".1f", ".1f", ".2f", ".1f", "", "", ".3f"))


def _draw_bars(study: Study, large: Sequence[Method]) -> Picture:
    """The clean model, data augmentation and the stored patches, corruption by corruption."""
    names = list(large[0].ra)
    figure, axes = chart(2.2 + 0.62 * len(names), 4.2)
    stored = next((method for method in large if method.name == _BUNDLED), large[-1])
    groups = {one.name: [one.ra[name] for name in names] for one in (*large[:2], stored)}
    words = [name.replace("_", "\n") for name in names]
    bars(axes, words, groups, (CLEAN, COLOURS[1], PATCHED), size=7)
    _, ta = large[0].means
    axes.axhline(ta, color=LINE, linestyle="--", linewidth=1)
    axes.text(len(names) - 0.45, ta + 1, "clean images", ha="right", color=LINE, fontsize=8)
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return draw(study, "RA of each corruption by method", figure)


def _draw_bytes(study: Study, small: Sequence[Method], size: int) -> Picture:
    """Mean RA against what is carried; the shallow patches as one line."""
    figure, axes = chart(7, 4)
    line = [(one.payload / size, one.means[0]) for one in small if one.shallow]
    axes.plot(
        *zip(*line, strict=True), "o-", color=PATCHED, label="RWS, shallowest layers, by bits"
    )
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
    axes.set_xlabel("payload of all patches or models / the clean model's bytes")
    axes.set_ylabel("mean RA in %")
    axes.margins(x=0.2, y=0.15)
    axes.legend(frameon=False, fontsize=8)
    return draw(study, "RA against bytes, five corruptions", figure, "bytes")
