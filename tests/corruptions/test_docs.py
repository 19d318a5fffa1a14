"""The page on corruptions says what the code says."""

import re
from pathlib import Path
from typing import Any

from rwsstore.corruptions import CORRUPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "use" / "corruptions.md").read_text("utf-8")


def test_the_table_is_the_registry() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", PAGE, flags=re.MULTILINE)
    assert rows == [(row.name, row.group, row.summary) for row in CORRUPTIONS.values()]


def test_the_examples_run() -> None:
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(example, names)
    for name in ("noisy", "worst", "foggy", "both", "shown"):
        assert names[name].shape == (8, 3, 32, 32)


def test_what_each_spares_is_in_the_text() -> None:
    (section,) = re.findall(r"^## Images that do not change\n(.*?)^## ", PAGE, re.DOTALL | re.M)
    named = [row for row in CORRUPTIONS.values() if row.spares == "black images"]
    for row in (*named, CORRUPTIONS["saturate"], CORRUPTIONS["brightness"]):
        assert f"`{row.name}`" in section


def test_the_corruptions_that_need_colour_are_named() -> None:
    colour = [f"`{row.name}`" for row in CORRUPTIONS.values() if row.needs_colour]
    assert f"need colour ({', '.join(colour)})" in PAGE
