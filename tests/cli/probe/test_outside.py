"""A probe from outside the package: one file, used through the command line."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from rwsstore.cli.main import cli
from rwsstore.cli.probe import PROBES, bitflips, register
from rwsstore.errors import ConfigError
from tests.cli.conftest import Bench

MINE = '''
"""How large a model's weights are."""

from dataclasses import dataclass

import click

from rwsstore.cli.probe import Bench, register
from rwsstore.probes import Report
from rwsstore.tables import Column, Table


@dataclass(frozen=True)
class Sizes(Report):
    dataset: str
    rows: tuple

    def to_dict(self):
        return {"dataset": self.dataset, "layers": dict(self.rows)}

    def to_csv(self):
        return "".join(f"{name},{size}\\n" for name, size in self.rows)

    def parts(self):
        yield f"Weights, {self.dataset}"
        yield Table((Column("tensor", left=True), Column("largest", form=".2f")), self.rows)

    def pictures(self):
        return {"": b"PNG"}


@register(
    "mine",
    "How large are the weights?",
    click.option("--limit", type=int, default=5),
    click.option("--seed", type=int, default=0),
    click.option("--times", type=float, default=1.0),
    csv="a row for each tensor",
    png="nothing",
)
def mine(bench: Bench) -> Sizes:
    """Find the largest weight of each tensor."""
    images = bench.images()
    results = bench.results(images)
    rows = tuple(
        (name, bench.options["times"] * results.number(name, weight.detach().abs().max))
        for name, weight in bench.model.named_parameters()
    )
    return Sizes(f"{len(images)} of {images.name}", rows)
'''


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "my_probe.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    __import__("my_probe")
    yield tmp_path
    del sys.modules["my_probe"], PROBES["mine"]


def test_one_file_adds_a_probe(imported: Path, bench: Bench) -> None:
    def run(*arguments: object) -> str:
        outcome = CliRunner().invoke(cli, ["--threads", "1", *map(str, arguments)])
        assert outcome.exit_code == 0, outcome.output
        return outcome.stdout

    assert "mine         How large are the weights?" in run("probe", "--help")
    assert "Find the largest weight of each tensor." in run("probe", "mine", "--help")
    call = ("probe", "mine", "--model", bench.model, "--dataset", "digits")
    written, drawn = imported / "a.csv", imported / "a.png"
    found = json.loads(run(*call, "--times", 2, "--csv", written, "--png", drawn, "--json"))
    assert found["dataset"] == "5 of digits"
    assert all(size > 0 for size in found["layers"].values())
    assert len(written.read_text().splitlines()) == len(found["layers"])
    assert drawn.read_bytes() == b"PNG"
    assert f"{found['layers']['network.classifier.bias'] / 2:.2f}" in run(*call)
    assert not list((imported / "cache").rglob("*.json"))  # finished: nothing is kept


def test_a_name_is_taken_once() -> None:
    with pytest.raises(
        ConfigError, match=f"there is a probe .bitflips. already, in {bitflips.__name__}"
    ):
        register("bitflips", "Again.", csv="", png="")(lambda _: pytest.fail("measured"))
