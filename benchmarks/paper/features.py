"""Figure 9: feature maps of the clean and the patched model on one corrupted image.

The picture is scikit-image's `chelsea` (CC0) unless another one is named; how near the patched
model's features come to those of the uncorrupted image is also measured on test images.
"""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.paper.pages import Picture, Table, draw, write_page
from benchmarks.paper.study import Study
from rwsstore.corruptions import corrupt
from rwsstore.data import read_image
from rwsstore.data.images import fit_image
from rwsstore.errors import MissingExtraError
from rwsstore.models import short_names
from rwsstore.patches import Patch
from rwsstore.probes import FeatureMaps, feature_maps
from rwsstore.runtime import PatchBag

_IMAGES = 20
# The paper shows the second and the third convolution.
_SHOWN = slice(1, 3)


def run(study: Study, *, image: Path | None = None) -> None:
    """The page of a picture, from a file or scikit-image's cat."""
    size = study.clean.spec.input_size
    show(study, chelsea(size) if image is None else read_image(image, size=size))


def show(study: Study, picture: Tensor) -> None:
    """Draw the image under each of the five corruptions; measure; write the page."""
    patches = study.patches(study.settings.corruptions)
    looked, distances = {}, []
    with study.progress.task("features", total=len(patches)) as task:
        for name, patch in patches.items():
            looked[name] = _look(study, name, patch, picture, 0)
            layers = [layer.layer for layer in looked[name].layers]
            distances.append([name, *_distances(study, name, patch, layers)])
            task.advance(note=name)
    write_page(
        study,
        predictions=Table(
            ["corruption", "clean model", "with its patch", "clean model, uncorrupted image"],
            [[name, *_predictions(study, found)] for name, found in looked.items()],
            "What they take the image for",
        ),
        distances=Table(
            ["corruption", *(f"{layer}, clean → patched" for layer in short_names(layers))],
            distances,
            "Distance of the features from those of the uncorrupted image, in % of their norm, "
            f"mean over {min(_IMAGES, len(study.test))} test images",
        ),
        pictures=[_picture(study, name, found) for name, found in looked.items()],
    )


def _look(
    study: Study, corruption: str, patch: Patch, image: Tensor, index: int, channels: int = 6
) -> FeatureMaps:
    settings = study.settings
    corrupted = corrupt(
        image[None], corruption, settings.severity, seed=settings.seed, indices=[index]
    )[0]
    return feature_maps(
        study.clean, {patch.digest: None}, PatchBag([patch]), corrupted, channels=channels,
        uncorrupted=image,
    )  # fmt: skip


def _picture(study: Study, name: str, found: FeatureMaps) -> Picture:
    layers = found.layers[_SHOWN] or found.layers
    shown = FeatureMaps(found.views, layers, study.clean.spec.classes)
    caption = f"Feature maps under {name}, without and with its patch"
    return draw(study, caption, shown.pictures()[""], name)


def _predictions(study: Study, found: FeatureMaps) -> list[str]:
    classes = study.clean.spec.classes
    return [
        f"{classes[view.predicted] if classes else view.predicted}, {view.probability:.0%}"
        for view in found.views[:3]
    ]


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
        clean, patched = (
            study.results.number(
                f"distance/{corruption}/{layer}/{word}", partial(distance, place, who)
            )
            for who, word in enumerate(("clean", "patched"))
        )
        cells.append(f"{clean:.0f} → {patched:.0f}")
    return cells


def chelsea(size: int) -> Tensor:
    """The cat of scikit-image: uint8 [3, size, size].

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    try:
        import skimage.data
    except ImportError:
        raise MissingExtraError("the picture of the study of features", "dev") from None
    pixels = np.asarray(skimage.data.chelsea())  # type: ignore[no-untyped-call]  # it has no types
    fitted = fit_image(Image.fromarray(pixels), size)
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).contiguous()
