"""Tables and pictures of a probe."""

import io
import re

import pytest
from PIL import Image
from rich.console import Console

from rwsstore.drawing import new_figure
from rwsstore.probes.parameter_corruption import CorruptionReport, CorruptionRow, draw_losses
from rwsstore.probes.parameter_corruption.indicator import LossAndAccuracy
from rwsstore.probes.parameter_corruption.report import By, Outcome


def report(by: By, groups: tuple[str, ...], *, draws: int = 2) -> CorruptionReport:
    rows = tuple(
        CorruptionRow(
            group, 2000, n, epsilon,
            Outcome(0.125, None if epsilon > 1 else 0.25, 80 - 30 * epsilon),
            tuple(Outcome(0.0, 0.0, 85.0 + draw) for draw in range(draws)),
        )
        for group in groups
        for n in (10, None)
        for epsilon in (0.5, 2.0)
    )  # fmt: skip
    return CorruptionReport(
        by, float("inf"), "[tiny]", 1234, 500, 10, 0, LossAndAccuracy(0.3, 90), rows
    )


def told(found: CorruptionReport) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(found.text())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(text: str) -> list[list[str]]:
    """What stands between two spaces or more, line by line."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_random_against_gradient_based() -> None:
    text = told(report("table", ("all",)))
    assert "L∞, 1,234 images of [tiny]; 90.0 without" in text
    assert ["10", "0.5", "85.5 ± 0.7", "65.0", "+0.25", "+0.125"] in cells(text)
    assert ["all", "2", "85.5 ± 0.7", "20.0", "not finite", "+0.125"] in cells(text)
    assert "mean of 2 draws" in text
    assert "on 500 images" in text
    bare = cells(told(report("table", ("all",), draws=0)))
    assert ["10", "0.5", "-", "65.0", "+0.25", "+0.125"] in bare


def test_groups_by_epsilon() -> None:
    text = told(report("layer", ("network.features.conv1", "network.[b].fc"), draws=0))
    assert text.count("n = 10") == text.count("n = all") == 1
    assert cells(text).count(["features.conv1", "2,000", "65.0", "20.0", "59 %"]) == 2
    assert cells(text).count(["[b].fc", "2,000", "65.0", "20.0", "59 %"]) == 2
    assert "65.0 / 85.5" in told(report("type", ("conv",)))


@pytest.mark.parametrize("by", ["table", "layer"])
def test_pictures(by: By) -> None:
    groups = ("all",) if by == "table" else tuple(f"network.conv{place}" for place in range(6))
    with Image.open(io.BytesIO(report(by, groups).pictures()[""])) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 250
        colours = picture.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 20  # something is drawn


def test_a_heat_map_shows_the_points_lost() -> None:
    axes = new_figure(4, 3).add_subplot()
    drawn = draw_losses(axes, report("type", ("conv", "norm")), 10)
    assert drawn.get_array().tolist() == [[25.0, 70.0], [25.0, 70.0]]
    assert drawn.get_clim() == (0.0, 80.0)
    other = draw_losses(new_figure(4, 3).add_subplot(), report("type", ("conv",)), 10, top=85.0)
    assert other.get_clim() == (0.0, 85.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["conv", "norm"]
    assert [text.get_text() for text in axes.texts] == ["25", "70", "25", "70"]
