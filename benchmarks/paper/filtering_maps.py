"""The networks that are filtered, their images, and the maps of their layers."""

from dataclasses import dataclass, replace

from torch import nn

from benchmarks.paper.parameter_corruption import networks
from benchmarks.paper.study import Study
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet, load_images
from rwsstore.measure import Resampling, with_batch_statistics
from rwsstore.models import build, fold_batchnorm
from rwsstore.probes.filtering import (
    FilteringCurves,
    FilteringOptions,
    FilteringReport,
    ScoringOptions,
    measure_curves,
)
from rwsstore.training import CleanRecipe, TrainingConfig, hold_out

_DIGITS = "digits"


@dataclass(frozen=True)
class Maps:
    """Every map; all but the first have every second of its thresholds.

    Attributes:
        bundled: the bundled model on its test images.
        coarse: the same, with the thresholds of the others.
        digits: the same network trained on digits.
        half: the same trained on half of the classes.
        unfolded: the bundled model before folding, where it is at hand.
        resnet: another network, its BatchNorm left in.
        resnet_folded: the same, folded.
        resnet_batch: the same, normalizing by each batch's own statistics; h1 only.
    """

    bundled: FilteringReport
    coarse: FilteringReport
    digits: FilteringReport
    half: FilteringReport
    unfolded: FilteringReport | None
    resnet: FilteringReport
    resnet_folded: FilteringReport
    resnet_batch: FilteringReport


def measure_maps(study: Study) -> Maps:
    """Train and filter whatever was not before."""
    settings, photos = study.settings.filtering, _limited(study, study.test)
    coarse, bundled = (settings.thresholds + 1) // 2, _map(study, "bundled", study.clean, photos)
    resnet = networks(study)["resnet18"]
    size = study.clean.spec.input_size
    train, validation = hold_out(load_images(_DIGITS, "train", size=size), seed=study.settings.seed)
    digits = train, validation, load_images(_DIGITS, "test", size=size)
    half = tuple(map(_first_classes, (study.train, study.validation, study.test)))
    on_digits = _trained(study, "filtering-digits", settings.digits, *digits[:2])
    on_half = _trained(study, "filtering-half", settings.half, *half[:2])

    def thinner(name: str, model: nn.Module, images: ImageSet, seed: int = 0) -> FilteringReport:
        return _map(study, name, model, images, thresholds=coarse, seed=seed)

    unfolded = study.unfolded
    return Maps(
        bundled=bundled,
        coarse=FilteringReport.of(_thinned(bundled.curves), bundled.options, dataset=photos.name),
        digits=thinner("digits", on_digits, _limited(study, digits[2]), 1),
        half=thinner("half", on_half, _limited(study, half[2]), 2),
        unfolded=None if unfolded is None else thinner("unfolded", unfolded, photos),
        resnet=thinner("resnet18", resnet, photos),
        resnet_folded=thinner("resnet18-folded", fold_batchnorm(resnet), photos),
        resnet_batch=_map(
            study, "resnet18-batch", with_batch_statistics(resnet).eval(), photos,
            thresholds=coarse, filters=("h1",),
        ),
    )  # fmt: skip


def _limited(study: Study, images: ImageSet) -> ImageSet:
    return images.limit(min(study.settings.filtering.images, len(images)), study.settings.seed)


def _first_classes(images: ImageSet) -> ImageSet:
    """The first half of the classes, two at least."""
    count = max(2, len(images.classes) // 2)
    chosen = images.take((images.labels < count).nonzero().flatten())
    return replace(chosen, classes=images.classes[:count], name=f"{images.name}, {count} classes")


def _trained(
    study: Study, name: str, config: TrainingConfig, train: ImageSet, validation: ImageSet
) -> nn.Module:
    """The bundled model's network, from the start, on other images; folded."""
    fields = {
        "num_classes": len(train.classes), "classes": train.classes, "batch_norm": True,
        "folded": False,
    }  # fmt: skip
    spec = study.clean.spec.model_copy(update=fields)
    other = replace(study, train=train, validation=validation)
    begin = build(spec, seed=study.settings.seed).eval()
    return fold_batchnorm(other.trained(name, CleanRecipe(), begin, config))


def _map(
    study: Study,
    name: str,
    model: nn.Module,
    images: ImageSet,
    *,
    thresholds: int | None = None,
    filters: tuple[str, ...] | None = None,
    seed: int = 0,
) -> FilteringReport:
    settings = study.settings.filtering
    options = FilteringOptions(
        epsilon=settings.epsilon,
        filters=filters or settings.recipe.filters,
        thresholds=thresholds or settings.thresholds,
    )
    curves = measure_curves(
        ComputeMode(channels_last=True).prepare(model),
        images.images,
        images.labels,
        options,
        results=study.results,
        prefix=f"{name}/",
        progress=study.progress,
    )
    resampling = Resampling(resamples=settings.resamples, seed=study.settings.seed + seed)
    scoring = ScoringOptions(resampling=resampling, tolerance=settings.recipe.tolerance)
    return FilteringReport.of(curves, scoring, dataset=images.name)


def _thinned(curves: FilteringCurves) -> FilteringCurves:
    """Every second threshold."""
    options = replace(curves.options, thresholds=(curves.options.thresholds + 1) // 2)
    names = ("thresholds", "remaining", "clean", "attacked")
    each = [
        replace(curve, **{name: getattr(curve, name)[::2] for name in names})
        for curve in curves.curves
    ]
    return replace(curves, options=options, curves=tuple(each))
