"""Ways to be robust, each measured on the same images: what tables.py compares."""

__all__ = [
    "Bytes",
    "Method",
    "gap_recovered",
    "load_augmented",
    "measure_all_layers",
    "measure_augmented",
    "measure_clean",
    "measure_robust",
    "measure_shallow",
    "model_bytes",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from benchmarks.paper.cutting import cut
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


@dataclass(frozen=True)
class Bytes:
    """What is carried for one corruption beside the clean model; `file` with the header."""

    payload: int = 0
    file: int = 0


NOTHING = Bytes()


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
    carried: Mapping[str, Bytes]

    def among(self, names: Sequence[str]) -> "Method":
        """The same method on some of the corruptions."""
        return Method(
            self.name,
            {name: self.ra[name] for name in names},
            {name: self.ta[name] for name in names},
            {name: self.carried[name] for name in names},
        )


def load_augmented(study: Study, path: Path | None) -> Classifier:
    """The one model on all corruptions, folded.

    Raises:
        ConfigError: the checkpoint is of another network, or for other classes.
    """
    if path is None:
        return _train_augmented(study)
    model = load_clean_model(path)
    found, wanted = (architecture_fingerprint(m.state_dict()) for m in (model, study.clean))
    if found != wanted or model.spec.classes != study.clean.spec.classes:
        raise ConfigError(
            f"--augmented {path} is another network than the clean model, or has other classes"
        )
    return model


def _train_augmented(study: Study) -> Classifier:
    config, wanted = study.settings.augmented, study.settings.tables.corruptions
    spec = ModelSpec(**{**study.clean.spec.model_dump(), "folded": False})
    recipe = AugmentedRecipe(wanted, study.settings.severity)
    model = study.trained("augmented", recipe, build(spec, seed=config.seed), config)
    assert isinstance(model, Classifier)  # a copy of what was built
    return fold_batchnorm(model)


def measure_clean(study: Study, names: Sequence[str]) -> Method:
    """θ_std as it is."""
    predict = study.live([])
    return _measure(study, "clean model", "clean", dict.fromkeys(names, (predict, NOTHING)))


def measure_augmented(study: Study, names: Sequence[str], model: Classifier) -> Method:
    """One model on all corruptions; it takes the clean model's place."""
    # The checkpoint may come from elsewhere: its numbers are its own.
    key = f"augmented-{weights_fingerprint(model.state_dict())[:16]}"
    return _measure(study, "data augmentation", key, dict.fromkeys(names, (model, NOTHING)))


def measure_shallow(study: Study, bits: int, patches: Mapping[str, Patch]) -> Method:
    """Patches on the shallowest layers, at one width."""
    chosen = {name: patch.at_bits(bits) for name, patch in patches.items()}
    return _measure_patches(study, f"RWS, {bits} bits", f"rws{bits}", chosen)


def measure_robust(study: Study, names: Sequence[str]) -> Method:
    """A whole robust model for each corruption."""
    size = model_bytes(study)
    models = {name: (study.robust(name), Bytes(size, size)) for name in names}
    return _measure(study, "one robust model each", "robust", models)


def measure_all_layers(study: Study, names: Sequence[str]) -> Method:
    """The same models' signatures over all layers, as patches."""
    bits, depth = study.settings.tables.all_layers_bits, len(ordered_layers(study.clean))
    patches = {
        name: cut(study, name, study.robust(name), layers=depth, bits=bits) for name in names
    }
    return _measure_patches(study, f"RWS, all layers, {bits} bits", f"all{bits}", patches)


def model_bytes(study: Study) -> int:
    """Bytes of the clean model's tensors."""
    return sum(t.numel() * t.element_size() for t in study.clean.state_dict().values())


def _measure_patches(study: Study, name: str, key: str, patches: Mapping[str, Patch]) -> Method:
    live = study.live(patches.values())
    pairs = {
        corruption: (
            live.variant({patch.digest: None}),
            Bytes(patch.payload_bytes, patch.file_bytes),
        )
        for corruption, patch in patches.items()
    }
    return _measure(study, name, key, pairs)


def _measure(
    study: Study, name: str, key: str, models: Mapping[str, tuple[Predict, Bytes]]
) -> Method:
    """Measure the model of each corruption on its images and on clean ones."""
    labels, ra, ta = study.test.labels, {}, {}
    alone = len({id(predict) for predict, _ in models.values()}) == 1
    with study.progress.task(name, total=len(models)) as task:
        for corruption, (predict, _) in models.items():
            shown = partial(study.corrupted, study.test, corruption)
            ra[corruption] = study.measure(f"{key}/ra/{corruption}", predict, shown, labels)
            # One model for all has one TA.
            own = f"{key}/ta" if alone else f"{key}/ta/{corruption}"
            ta[corruption] = study.measure(own, predict, study.test.images, labels)
            task.advance(note=f"{corruption}: {ra[corruption]:.1f} %")
    return Method(
        name, ra, ta, {corruption: carried for corruption, (_, carried) in models.items()}
    )


def gap_recovered(method: Method, clean: Method) -> float | None:
    """(mean RA − the clean model's) / (its TA − its mean RA); None where it loses nothing."""
    base = fmean(clean.ra.values())
    lost = fmean(clean.ta.values()) - base
    return (fmean(method.ra.values()) - base) / lost if lost > 0 else None
