"""The bar chart: of the right size and colour, whatever the indices."""

import io
import math

import pytest
from PIL import Image
from torch import nn

from rwsstore.probes.criticality import CriticalityReport
from tests.probes.criticality.making import made_up

_CHOSEN = (0xD1, 0x76, 0x2B)


def picture(indices: list[float], k: int | None = None) -> Image.Image:
    found = made_up(indices)
    convs = {f"conv{n}": nn.Conv2d(1, 1, 1) for n in range(1, len(indices) + 1)}
    model = nn.ModuleDict({"net": nn.ModuleDict(convs)})
    drawn = CriticalityReport.of(model, found, k=k, dataset="made up").pictures()[""]
    with Image.open(io.BytesIO(drawn)) as opened:
        assert opened.format == "PNG"
        return opened.convert("RGB")


def orange(drawn: Image.Image) -> int:
    """How many of its columns have the colour of the chosen."""
    width, height = drawn.size
    pixels = drawn.load()
    assert pixels is not None
    below = range(height // 4, height)  # not the legend
    return sum(any(pixels[x, y] == _CHOSEN for y in below) for x in range(width))


@pytest.mark.parametrize("count", [1, 49, 120])
def test_networks_of_any_length(count: int) -> None:
    drawn = picture([1.0 + (place % 3) for place in range(count)])
    assert 800 < drawn.size[0] < 2400
    assert 500 < drawn.size[1] < 800
    assert orange(drawn) > 0


def test_each_chosen_layer_is_coloured() -> None:
    indices = [1.0, 3.0, 2.0, 4.0, 0.5, 1.5]
    one, three = (orange(picture(indices, k)) for k in (1, 3))
    assert 2.8 * one < three < 3.2 * one


@pytest.mark.parametrize("indices", [[0.0, 0.0], [0.0, math.inf, 0.5], [math.inf, math.inf]])
def test_indices_that_are_no_heights(indices: list[float]) -> None:
    drawn = picture(indices)
    assert len(drawn.getcolors(2**24) or []) > 20


def test_many_chosen_layers_are_not_all_named() -> None:
    assert picture([2.0] * 60, k=60).size == picture([2.0] * 60, k=20).size
