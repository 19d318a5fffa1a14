"""Every command's table on a terminal of 80 columns; that of `rws bench` is with its tests."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli.conftest import Bench, Rws
from tests.clients.fake import TOKEN, FakeService, served

MINE = "--model {model} --store {store}"
DIGITS = "--model {model} --dataset digits"
TABLES = (
    f"evaluate --dataset digits --limit 20 --bits 8 --bits 4 --resamples 40 {MINE}",
    f"evaluate --dataset digits --limit 20 --attacks fgsm --patch fog=0.5 --resamples 40 {MINE}",
    f"compare {MINE}",
    f"probe corruption {DIGITS} --limit 20 --epsilon 0.05,0.5 --n 10,all --seeds 2",
    f"probe corruption {DIGITS} --limit 20 --epsilon 0.5 --by layer --n 3 --seeds 0 --layers 1",
    f"probe bitflips {DIGITS} --images 20 --sample 20 --bits exponent",
    f"probe filtering {DIGITS} --limit 20 --thresholds 5 --layers 1 --filters h2,h1 --resamples 40",
    f"probe criticality {DIGITS} --steps 2 --limit 40 --stability --batches 10,30 --draws 2",
    "card {copy} --dataset digits --store {store} --limit 20",
    "inspect {model}",
    "inspect fog --store {store}",
    "store ls --store bundled",
    "store show fog --store {store}",
    "remote status",
    "remote patches",
    "remote show fog",
    "remote history",
    "remote audit",
    "remote predict {copy} --top-k 5",
)


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with served(FakeService().handle) as url:
        monkeypatch.setenv("RWS_URL", url)
        monkeypatch.setenv("RWS_TOKEN", TOKEN)
        yield


@pytest.mark.parametrize("line", TABLES)
def test_it_fits(
    line: str, rws: Rws, bench: Bench, tmp_path: Path, screens: list[io.StringIO]
) -> None:
    copy = shutil.copy(bench.model, tmp_path / "copy.safetensors")
    places = {"model": bench.model, "store": bench.store, "copy": copy}
    assert rws(*(word.format(**places) for word in line.split())).code == 0
    assert screens
    for screen in screens:
        assert max(map(cell_len, screen.getvalue().splitlines())) <= 80
