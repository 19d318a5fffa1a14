"""docs/use/bit-flips.md says what the code does."""

import re
from pathlib import Path

from rwsstore.probes.bitflips import FORMATS, BitflipReport
from rwsstore.probes.bitflips.memory import chosen_bits
from tests.probes.bitflips.making import centred, images, vgg

PAGE = (Path(__file__).parents[3] / "docs" / "use" / "bit-flips.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    model = centred(vgg())
    names: dict[str, object] = {"model": model, "images": images(model)}
    exec(program, names)
    report = names["report"]
    assert isinstance(report, BitflipReport)
    assert report.total.flips == 100
    assert report.dataset == "noise"


def test_the_table_of_formats_is_right() -> None:
    floats = re.findall(r"^\| `(\w*float\d+)` \| (\d+) \| (\d+)–(\d+) \| (\d+) \|$", PAGE, re.M)
    expected = [
        (form.name, form.bits, form.exponent[0], form.exponent[-1], *chosen_bits("top", form))
        for form in FORMATS.values()
        if form.exponent
    ]
    assert [(name, *map(int, numbers)) for name, *numbers in floats] == expected
    codes = [form.name for form in FORMATS.values() if not form.exponent]
    assert ", ".join(f"`{name}`" for name in codes) in PAGE
