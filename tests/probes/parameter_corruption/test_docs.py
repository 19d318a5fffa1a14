import re
from pathlib import Path
from typing import Any

import click
import pytest

import rwsstore.bundled
import rwsstore.data
from rwsstore.cli.main import cli
from tests.training.tiny import classifier, pictures

PAGE = (Path(__file__).parents[3] / "docs" / "use" / "parameter-corruption.md").read_text("utf-8")


def test_the_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    small = pictures(6, size=8)
    monkeypatch.setattr(
        rwsstore.bundled, "bundled_model", lambda: classifier("vgg16", size=8, folded=True)
    )
    monkeypatch.setattr(rwsstore.data, "load_images", lambda *_: small)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert len(names["report"].rows) == 2 * 14


def test_the_commands_options_are_there() -> None:
    probe = cli.get_command(click.Context(cli), "probe")
    assert isinstance(probe, click.Group)
    command = probe.get_command(click.Context(probe), "corruption")
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert named - {"--data"} <= known  # that one is the benchmark's
    assert {"--by", "--unfolded", "--gradient-images"} <= named
