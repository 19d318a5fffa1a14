import re
from pathlib import Path

import pytest

from rwsstore.models import NETWORKS, ModelSpec, ordered_layers
from rwsstore.models.registry import outline

PAGE = (Path(__file__).parents[2] / "docs" / "use" / "models.md").read_text(encoding="utf-8")


def test_the_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) >= 5
    exec("\n".join(blocks), {})


def test_every_network_is_named() -> None:
    assert all(f"`{name}`" in PAGE for name in NETWORKS)


@pytest.mark.parametrize(("heading", "network"), [("VGG-16", "vgg16"), ("ResNet-50", "resnet50")])
def test_the_tables_of_layers_are_right(heading: str, network: str) -> None:
    section = PAGE.split(f"### {heading}")[1].split("\n#")[0]
    rows = re.findall(r"^\| (\d+) \| `(.+?)` \| (\d+) \| ([\d,]+) \| ([\d,]+) \|$", section, re.M)
    model = outline(ModelSpec(network=network, num_classes=10, folded=True))
    expected, total = [], 0
    for place, layer in enumerate(ordered_layers(model), 1):
        numbers = sum(model.get_parameter(name).numel() for name in layer.parameters)
        total += numbers
        name = layer.name.removeprefix("network.")
        row = (str(place), name, str(len(layer.parameters)), f"{numbers:,}", f"{total:,}")
        expected.append(row)
    assert rows == expected
