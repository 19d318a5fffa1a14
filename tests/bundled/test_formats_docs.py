"""docs/operate/compute-formats.md says what the code does and what the bundle's card holds."""

import re
from pathlib import Path
from typing import get_args

from rwsstore.bundled import bundled_folder, card_path
from rwsstore.making.card import BundleCard
from rwsstore.models import FEWEST_IMAGES, LEAST_AGREEMENT
from rwsstore.runtime import FORMATS
from rwsstore_client.contract import ComputeInfo
from rwsstore_service.engine.format_choice import WhyFormat

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "compute-formats.md").read_text(
    encoding="utf-8"
)


def rows(heading: str, columns: int) -> list[list[str]]:
    """The rows of a table under a heading; of the page's beginning if that is empty."""
    section = PAGE.split(f"\n## {heading}\n")[1] if heading else PAGE
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| `")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in found} == {columns}
    return found


def test_every_format_is_described() -> None:
    assert [row[0].strip("`") for row in rows("", 3)] == list(FORMATS)


def test_the_figures_are_those_of_the_bundled_card() -> None:
    card = BundleCard.read(card_path(bundled_folder()))
    assert rows("When a format is offered", 5) == [
        [
            f"`{one.name}`",
            f"{one.top1_agreement:.2f} %",
            f"{one.lowest_agreement:.2f} % ({one.lowest_with or 'clean model'})",
            f"{one.largest_difference:g}",
            "yes" if one.offered else "no",
        ]
        for one in card.formats
    ]
    assert [one.name for one in card.formats] == list(FORMATS)
    assert {(one.images, one.patch_sets) for one in card.formats} == {(2000, 22)}
    assert "2,000 images split off" in PAGE


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"**{LEAST_AGREEMENT:g} %**" in PAGE
    assert f"at least {FEWEST_IMAGES} images" in PAGE


def test_every_reason_is_explained_and_the_answer_is_one() -> None:
    assert [row[0].strip("`") for row in rows("How the service chooses", 2)] == list(
        get_args(WhyFormat)
    )
    (example,) = re.findall(r"```json\n\"compute\": (.*?)```", PAGE, re.DOTALL)
    assert ComputeInfo.model_validate_json(example).why == "probe"


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {})
