import io

import pytest
from rich.console import Console

from rwsstore.corruptions import CORRUPTIONS
from rwsstore.probes import Comparison, summarize
from tests.probes.making import made_up, made_up_gains

ALL = tuple(CORRUPTIONS)


def written(comparison: Comparison, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(comparison.text())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_19_patches_fit_a_terminal() -> None:
    similarity = made_up(ALL)
    comparison = summarize(similarity, made_up_gains(similarity, ALL), relabelings=50)
    text = written(comparison)
    assert max(map(len, text.splitlines())) <= 80
    rows = [line.split()[:2] for line in text.splitlines()]
    for number, name in enumerate(ALL, start=1):
        label = name if len(name) <= 16 else f"{name[:15]}…"
        assert rows.count([str(number), label]) == (3 if label == name else 2)
    assert "Columns:" not in text
    for word in ("conv2", "Do the groups appear in the cosines?", "in the gains?", "Frost"):
        assert word in text


def test_the_numbers_are_the_comparisons() -> None:
    similarity = made_up(("fog", "snow", "contrast"))
    comparison = summarize(similarity, made_up_gains(similarity, ("snow", "pixelate")))
    lines = written(comparison, 200).splitlines()
    hundredths = [round(100 * float(value)) for value in similarity.cosine[1]]
    assert f" 2 snow             {hundredths[0]:>4}   .{hundredths[2]:>4}" in lines
    gains = comparison.gains
    assert gains is not None
    row = [*gains.gains[2].tolist(), float(gains.costs[2])]
    assert any(line.split() == ["3", "contrast", *(str(round(v)) for v in row)] for line in lines)
    assert "Columns: 1 snow, 2 pixelate" in lines
    groups = comparison.groups
    assert groups is not None
    assert any(f"within groups {groups.within:z.2f} (1 pairs)" in line for line in lines)


def test_nearest_is_the_most_alike_of_the_others() -> None:
    similarity = made_up(("fog", "snow", "contrast", "pixelate"))
    row = similarity.cosine[3].clone()
    row[3] = -2
    nearest = similarity.signatures[int(row.argmax())].name
    listed = next(
        line for line in written(summarize(similarity)).splitlines() if " pixelate " in line
    )
    assert listed.split()[-2:] == [nearest, f"{float(row.max()):z.2f}"]


def test_too_few_groups_say_so() -> None:
    text = written(summarize(made_up(("fog", "contrast"))), 120)
    assert "It needs two corruptions of one group and one of another." in text


@pytest.mark.parametrize(("count", "shown"), [(20, True), (21, False)])
def test_many_patches_are_listed_without_matrices(count: int, shown: bool) -> None:
    similarity = made_up([*ALL, *ALL][:count])
    assert ("in hundredths" in written(summarize(similarity, relabelings=9))) is shown
