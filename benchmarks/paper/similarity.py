"""What the bundled patches are like: Figures 2 to 4, signatures compared; Figure 9, feature maps.

Compared are norms, cosines, and gains on all corruptions; the numbers are those of `rws compare`.
Feature maps are of one corrupted image, scikit-image's `chelsea` (CC0) unless another one is named;
how near the patched model's come to those of the uncorrupted image is measured on test images too.
"""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.paper.pages import draw, filled, table, write_page
from benchmarks.paper.study import Study
from rwsstore import probes
from rwsstore.corruptions import corrupt
from rwsstore.data import read_image
from rwsstore.data.images import fit_image
from rwsstore.errors import MissingExtraError
from rwsstore.models import short_names
from rwsstore.patches import Patch
from rwsstore.probes import Comparison, FeatureMaps, GroupContrast
from rwsstore.runtime import PatchBag

_PICTURES = {
    "norms": "Norm of each patch in each layer",
    "cosine": "Cosine similarity between patches",
    "layers": "Cosine similarity between patches, layer by layer",
    "gains": "What each patch gains on each corruption",
}

_IMAGES = 20
# The paper shows the second and the third convolution.
_SHOWN = slice(1, 3)


def compare(study: Study) -> Comparison:
    """Compare the study's patches; gains come from its results where they were measured."""
    signatures = probes.find_signatures(study.clean, study.store)
    options = probes.GainOptions(
        corruptions=tuple(dict.fromkeys(one.corruption for one in signatures if one.corruption)),
        severity=study.settings.severity,
        seed=study.settings.seed,
    )
    gains = probes.measure_gains(
        study.clean, signatures, study.test, options, measure=study.measure,
        progress=study.progress,
    )  # fmt: skip
    similarity = probes.compare_signatures(study.clean, signatures)
    return probes.summarize(similarity, gains, seed=study.settings.seed)


def run(study: Study) -> None:
    found = compare(study)
    groups = (
        ("cosine", "cosines", found.groups, ".2f"),
        ("gain in points", "gains", found.gain_groups, ".1f"),
    )
    write_page(
        study,
        verdicts=[_verdict(study, what, contrast, form) for _, what, contrast, form in groups],
        correlation=[]
        if found.gain_correlation is None
        else [filled(study, "similarity_correlation", found=found)],
        layers=table(
            [
                "layer", "‖Δ‖", "‖Δ‖ / ‖θ‖", "share of ‖Δ‖²", "cosine", "within groups", "between",
                "p",
            ],
            _layers(found),
            "Layers, means over the patches and their pairs",
            ("", ".3f", ".3f", "", ".2f", ".2f", ".2f", ".2g"),
        ),
        groups=[
            table(
                ["patches for", *contrast.by_group],
                [[name, *row.values()] for name, row in contrast.by_group.items()],
                f"Mean {what}, different corruptions",
                form,
            )
            for what, _, contrast, form in groups
            if contrast is not None
        ],
        patches=table(
            ["patch", "‖Δ‖", "‖Δ‖ / ‖θ‖", "gain on its own", "mean gain on others", "TA"],
            _patches(found),
            "Patches",
            ("", ".2f", ".3f", "+.1f", "+.1f", "+.1f"),
        ),
        pictures=[
            draw(study, _PICTURES[kind], picture, kind)
            for kind, picture in found.pictures().items()
        ],
    )  # fmt: skip


def _verdict(study: Study, what: str, found: GroupContrast | None, form: str) -> str:
    if found is None:
        return f"There are too few patches to ask whether the groups appear in the {what}."
    own = "" if found.own is None else f" (on the patch's own corruption {found.own:{form}})"
    means = {"within": f"{found.within:{form}}", "between": f"{found.between:{form}}{own}"}
    appear = "appear" if found.appear else "do not show"
    return filled(study, "similarity_groups", what=what, appear=appear, found=found, **means)


def _layers(found: Comparison) -> Iterator[list[object]]:
    names = short_names(found.similarity.layers)
    for layer, name in zip(found.layers, names, strict=True):
        contrast: list[float | None] = [None] * 3
        if (groups := layer.groups) is not None:
            contrast = [groups.within, groups.between, groups.p_value]
        energy = f"{100 * layer.energy:.0f} %"
        yield [name, layer.norm, layer.relative_norm, energy, layer.cosine, *contrast]


def _patches(found: Comparison) -> Iterator[list[object]]:
    gains, similarity = found.gains, found.similarity
    assert gains is not None  # measured above
    for row, one in enumerate(similarity.signatures):
        each = dict(zip(gains.options.corruptions, gains.gains[row].tolist(), strict=True))
        own = each.pop(one.corruption or "", None)
        norms = float(similarity.total_norms[row]), float(similarity.total_relative_norms[row])
        others = fmean(each.values()) if each else None
        yield [one.name, *norms, own, others, float(gains.costs[row])]


def run_features(study: Study, *, image: Path | None = None) -> None:
    """The page of a picture, from a file or scikit-image's cat."""
    size = study.clean.spec.input_size
    show(study, chelsea(size) if image is None else read_image(image, size=size))


def show(study: Study, picture: Tensor) -> None:
    patches, classes = study.patches(study.settings.corruptions), study.clean.spec.classes
    predictions, distances, pictures = [], [], []
    for name in study.each("features", patches):
        found = _look(study, name, patches[name], picture, 0)
        told = [
            f"{classes[view.predicted] if classes else view.predicted}, {view.probability:.0%}"
            for view in found.views[:3]
        ]
        predictions.append([name, *told])
        layers = [layer.layer for layer in found.layers]
        distances.append([name, *_distances(study, name, patches[name], layers)])
        shown = FeatureMaps(found.views, found.layers[_SHOWN] or found.layers, classes)
        caption = f"Feature maps under {name}, without and with its patch"
        pictures.append(draw(study, caption, shown.pictures()[""], name))
    write_page(
        study,
        predictions=table(
            ["corruption", "clean model", "with its patch", "clean model, uncorrupted image"],
            predictions,
            "What they take the image for",
        ),
        distances=table(
            ["corruption", *(f"{layer}, clean → patched" for layer in short_names(layers))],
            distances,
            "Distance of the features from those of the uncorrupted image, in % of their norm, "
            f"mean over {min(_IMAGES, len(study.test))} test images",
        ),
        pictures=pictures,
    )


def _look(
    study: Study, corruption: str, patch: Patch, image: Tensor, index: int, channels: int = 6
) -> FeatureMaps:
    severity, seed = study.settings.severity, study.settings.seed
    corrupted = corrupt(image[None], corruption, severity, seed=seed, indices=[index])[0]
    return probes.feature_maps(
        study.clean, {patch.digest: None}, PatchBag([patch]), corrupted, channels=channels,
        uncorrupted=image,
    )  # fmt: skip


def _distances(study: Study, corruption: str, patch: Patch, layers: Sequence[str]) -> list[str]:
    """For each layer: mean distance of the clean model, and of the patched."""
    count = min(_IMAGES, len(study.test))

    @cache
    def look(index: int) -> FeatureMaps:
        return _look(study, corruption, patch, study.test.images[index], index, channels=1)

    def distance(layer: int, who: int) -> float:
        return fmean(100 * (look(n).layers[layer].distances or ())[who] for n in range(count))

    cells = []
    for place, layer in enumerate(layers):
        key = f"distance/{corruption}/{layer}"
        clean, patched = (
            study.results.number(f"{key}/{word}", partial(distance, place, who))
            for who, word in enumerate(("clean", "patched"))
        )
        cells.append(f"{clean:.0f} → {patched:.0f}")
    return cells


def chelsea(size: int) -> Tensor:
    """The cat of scikit-image, which must be installed: uint8 [3, size, size]."""
    try:
        import skimage.data
    except ImportError:
        raise MissingExtraError("the picture of the study of features", "dev") from None
    pixels = np.asarray(skimage.data.chelsea())  # type: ignore[no-untyped-call]  # it has no types
    fitted = fit_image(Image.fromarray(pixels), size)
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).contiguous()
