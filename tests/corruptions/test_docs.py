"""The page on corruptions says what the code says."""

import re
from pathlib import Path
from typing import Any

from rwsstore.corruptions import CORRUPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "corruptions.md").read_text("utf-8")


def test_the_table_is_the_registry() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", PAGE, flags=re.MULTILINE)
    assert rows == [(row.name, row.group, row.summary) for row in CORRUPTIONS.values()]


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["noisy"].shape == names["worst"].shape == (8, 3, 32, 32)


def test_the_corruptions_that_need_colour_are_named() -> None:
    colour = [f"`{row.name}`" for row in CORRUPTIONS.values() if row.needs_colour]
    assert f"need colour ({', '.join(colour)})" in PAGE
