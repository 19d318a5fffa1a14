"""Figure 9: feature maps of the clean and the patched model on one corrupted image.

    python -m benchmarks.paper.features --data NAME:PATH [--image FILE]

The picture is scikit-image's `chelsea` (CC0) unless another one is named; how near the patched
model's features come to those of the uncorrupted image is also measured on test images.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.paper.pages import Picture, Table, write_blocks
from benchmarks.paper.study import Study, errors_told, open_study, study_parser
from rwsstore.corruptions import corrupt
from rwsstore.data import read_image
from rwsstore.data.images import fit_image
from rwsstore.errors import MissingExtraError
from rwsstore.files import make_folders, write_atomic
from rwsstore.models import short_names
from rwsstore.patches import Patch
from rwsstore.probes import FeatureMaps, feature_maps
from rwsstore.runtime import PatchBag

_IMAGES = 20
# The paper shows the second and the third convolution.
_SHOWN = slice(1, 3)
_VIEWS = ("corruption", "clean model", "with its patch", "clean model, uncorrupted image")
_WORDS = (
    "One image under each corruption, as the network sees it, and the six channels of the second "
    "and the third convolution that the patch changes most: A the clean model, B with the patch, C "
    "the clean model on the uncorrupted image."
)


def run(study: Study, image: Tensor | None = None) -> None:
    """Draw the image under each of the five corruptions; measure; write the page."""
    size = study.clean.spec.input_size
    picture = chelsea(size) if image is None else image
    patches = study.patches(study.settings.corruptions)
    looked, distances = {}, []
    with study.progress.task("features", total=len(patches)) as task:
        for name, patch in patches.items():
            looked[name] = _look(study, name, patch, picture, 0)
            distances.append([name, *_distances(study, name, patch, _layers(looked[name]))])
            task.advance(note=name)
    layers = _layers(next(iter(looked.values())))
    predictions = [
        [name, *(_prediction(study, found, place) for place in range(3))]
        for name, found in looked.items()
    ]
    header = ["corruption", *(f"{layer}, clean → patched" for layer in short_names(layers))]
    title = (
        "Distance of the features from those of the uncorrupted image, in % of their norm, mean "
        f"over {min(_IMAGES, len(study.test))} test images"
    )
    blocks: list[str | Table | Picture] = [
        _WORDS,
        Table(_VIEWS, predictions, title="What they take the image for"),
        Table(header, distances, title=title),
        *_pictures(study, looked),
    ]
    write_blocks(study, "Feature maps (Figure 9 in kind)", blocks)


def _layers(found: FeatureMaps) -> list[str]:
    return [layer.layer for layer in found.layers]


def _pictures(study: Study, looked: Mapping[str, FeatureMaps]) -> list[Picture]:
    make_folders(study.docs)
    pictures = []
    for name, found in looked.items():
        path = study.docs / f"{study.name}-{name}.png"
        write_atomic(path, _draw(study, found))
        pictures.append(Picture(path, f"Feature maps under {name}, without and with its patch"))
    return pictures


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


def _draw(study: Study, found: FeatureMaps) -> bytes:
    shown = found.layers[_SHOWN] or found.layers
    return FeatureMaps(found.views, shown, study.clean.spec.classes).pictures()[""]


def _prediction(study: Study, found: FeatureMaps, place: int) -> str:
    view, classes = found.views[place], study.clean.spec.classes
    name = classes[view.predicted] if classes else str(view.predicted)
    return f"{name}, {view.probability:.0%}"


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


def main() -> None:
    parser = study_parser("features", __doc__)
    parser.add_argument("--image", type=Path, metavar="FILE", help="default: scikit-image's cat")
    arguments = parser.parse_args()
    with errors_told():
        study = open_study("features", arguments)
        image = None
        if arguments.image is not None:
            image = read_image(arguments.image, size=study.clean.spec.input_size)
        run(study, image)


if __name__ == "__main__":
    main()
