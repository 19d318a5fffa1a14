import io

import pytest
import torch
from PIL import Image

from rwsstore.errors import MissingExtraError
from rwsstore.probes import FeatureMaps
from rwsstore.probes.features import LayerMaps, View


def made(
    views: int, channels: tuple[int, ...] = (3, 2), classes: tuple[str, ...] = ()
) -> FeatureMaps:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8, generator=generator)
    labels = ("clean model", "fog=1", "clean model, uncorrupted image")
    return FeatureMaps(
        views=tuple(View(label, image, n, 0.5) for n, label in enumerate(labels[:views])),
        layers=tuple(
            LayerMaps(
                layer=f"network.conv{n}",
                channels=tuple(range(count)),
                maps=torch.randn(views, count, 4, 4, generator=generator),
                change=0.25,
                distances=(0.5, 0.25) if views > 2 else None,
            )
            for n, count in enumerate(channels)
        ),
        classes=classes,
    )


def size(picture: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "PNG"
        return image.size


def test_a_row_for_each_view_makes_it_higher() -> None:
    two, three = (
        size(made(2).pictures()[""]),
        size(made(3, classes=("cat", "dog", "frog")).pictures()[""]),
    )
    assert two[0] == three[0] > 600
    assert three[1] > two[1] > 300


def test_a_map_of_one_value_is_drawn() -> None:
    features = made(2, channels=(1,))
    features.layers[0].maps.zero_()
    assert size(features.pictures()[""])


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="plots"):
        made(2).pictures()[""]
