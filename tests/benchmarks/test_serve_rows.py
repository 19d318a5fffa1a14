"""The rows over REST, in small: that they run on real processes, not how fast."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from serve import rest
from serve.rest import ROWS, clients_curve
from serve.rivals.registry import NotInstalledError
from serve.server import Asker, Server, json_request
from serve.services import MODEL_NAME, OWN_FORMAT, TOKEN, Work, ask_active, make_work, own_service
from speed_rows.row import RowSettings

from rwsstore.speed import Ratio

pytestmark = pytest.mark.slow

# The interpreter of the rivals' environment, benchmarks/requirements-rivals.txt, if there is one.
RIVALS_PYTHON = os.environ.get("RIVALS_PYTHON")
MEASURES = {row.name: row.measure for row in ROWS}


class Shared:
    """One service of ours in its own format, for every row; without patches as each begins."""

    def __init__(self, work: Work, server: Server) -> None:
        self.work, self.server = work, server

    @contextmanager
    def make_work(self, _: RowSettings, *, patches: int) -> Iterator[Work]:
        assert patches <= len(self.work.patches)
        yield self.work

    @contextmanager
    def own_service(
        self,
        work: Work,
        settings: RowSettings,
        *,
        ask: Asker = ask_active,
        compute: str = OWN_FORMAT,
    ) -> Iterator[Server]:
        if compute != OWN_FORMAT:
            with own_service(work, settings, ask=ask, compute=compute) as other:
                yield other
            return
        headers = (f"Authorization: Bearer {TOKEN}", "If-Match: *")
        clear = json_request(
            "PUT", f"/v1/models/{MODEL_NAME}/patchset", {"patches": []}, headers=headers
        )
        replace(self.server, ask=lambda *_: clear).answer(b"")
        yield replace(self.server, ask=ask)


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    settings = RowSettings.for_smoke()
    with make_work(settings, patches=4) as work, own_service(work, settings) as server:
        yield Shared(work, server)


@pytest.fixture(autouse=True)
def _one_service(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "make_work", shared.make_work)
    monkeypatch.setattr(rest, "own_service", shared.own_service)


def measured(name: str, rivals_python: str | None = None) -> tuple[Ratio, list[str]]:
    python = None if rivals_python is None else Path(rivals_python)
    finding = MEASURES[name](RowSettings.for_smoke(rivals_python=python))
    lines = finding.details["lines"]
    assert finding.ratio is not None
    assert isinstance(lines, list)
    return finding.ratio, lines


def test_against_the_ceiling() -> None:
    ratio, lines = measured("rest_vs_ceiling")
    assert 0 < ratio.low <= ratio.median <= ratio.high
    assert [line.partition(": ")[0] for line in lines] == [
        "REST, every client with a patch set of its own",
        "in process, packed",
        "in process, plain torch",
    ]


@pytest.mark.parametrize("name", ["fastapi", "litserve", "bentoml"])
def test_against_a_rival(name: str) -> None:
    try:
        ratio, lines = measured(f"rest_vs_{name}", RIVALS_PYTHON)
    except NotInstalledError as error:
        assert name != "fastapi"
        pytest.skip(str(error))
    assert 0 < ratio.low <= ratio.median <= ratio.high
    assert len(lines) == 4


def test_under_changes() -> None:
    ratio, lines = measured("p99_under_changes")
    assert ratio.median > 0
    told = re.search(r"with (\d+) of (\d+) changes", lines[0])
    assert told is not None
    assert int(told[1]) > 0
    assert 5 <= int(told[2]) <= 7  # 20 a second, 0.3 s


def test_more_and_more_clients() -> None:
    curve = clients_curve(RowSettings.for_smoke())
    assert list(curve) == ["1", "4"]
    assert all(0 < point["p50_ms"] <= point["p99_ms"] for point in curve.values())
    assert all(point["per_second"] > 0 for point in curve.values())
