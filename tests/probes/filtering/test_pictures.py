"""The pictures: of the right size, whatever is undefined."""

import io
from itertools import product

import pytest
from PIL import Image

from rwsstore.measure import Resampling
from rwsstore.probes.filtering import FilteringReport, ScoringOptions
from tests.probes.filtering.making import curves_of, made_up


def report(layers: int, filters: tuple[str, ...]) -> FilteringReport:
    curves = [
        made_up(
            [18, 14, 3], [12, 8, 2] if layer else [1, 1, 1], [1.0, 0.5, 0.0],
            layer=f"net.conv{layer}", name=name,
        )
        for layer, name in product(range(layers), filters)
    ]  # fmt: skip
    options = ScoringOptions(resampling=Resampling(resamples=0))
    return FilteringReport.of(curves_of(*curves), options, dataset="made up")


@pytest.mark.parametrize(("layers", "filters"), [(1, ("h2",)), (3, ("h1", "h2", "h3"))])
def test_both_pictures(layers: int, filters: tuple[str, ...]) -> None:
    pictures = report(layers, filters).pictures()
    assert list(pictures) == ["curves", "map"]
    sizes = {}
    for name, data in pictures.items():
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.format == "PNG"
            sizes[name] = picture.size
            assert len(picture.convert("RGB").getcolors(2**24) or []) > 20
    assert all(min(size) > 250 for size in sizes.values())


def test_many_layers_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rwsstore.probes.filtering.report._ROWS", 3)
    sizes = []
    for layers in (3, 4):
        with Image.open(io.BytesIO(report(layers, ("h1",)).pictures()["curves"])) as picture:
            sizes.append(picture.size)
    assert sizes[1][0] > sizes[0][0]
    assert sizes[1][1] < sizes[0][1]
