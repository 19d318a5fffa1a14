"""What every service is given to do, and what the rivals share."""

import io
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from serve.ceiling import best_batch, images_per_second
from serve.processes import BenchmarkError
from serve.rest import check_same
from serve.rivals.fastapi_app import create_app
from serve.rivals.registry import RIVALS, NotInstalledError, Rival, Setup, check_installed
from serve.rivals.serving import Options, compute, decode, top
from serve.services import make_work
from speed_rows.row import RowSettings
from torch import Tensor

from rwsstore.models import load_clean_model
from rwsstore.store import Store


def test_the_work_is_a_model_patches_that_fit_and_images_that_differ() -> None:
    with make_work(RowSettings.for_smoke(), patches=3) as work:
        model = load_clean_model(work.model)
        assert model.spec.network == "vgg16"
        assert model.spec.width == 0.125
        assert model.spec.folded
        store = Store(work.store)
        assert {entry.name for entry in store.list()} == set(work.patches)
        assert len(set(work.patches)) == 3
        digests = {store.get(name).digest for name in work.patches}
        assert len(digests) == 3
    assert not work.folder.exists()
    assert len(set(work.images)) == len(work.images) >= 16
    for file in work.images:
        image = Image.open(io.BytesIO(file))
        assert (image.format, image.size) == ("JPEG", (32, 32))


def test_a_rival_answers_what_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with make_work(RowSettings.for_smoke(), patches=0) as work:
        options = Options(work.model, port=0, threads=1, workers=1, batch=1, wait_ms=0.5)
        for name, value in options.to_environment().items():
            monkeypatch.setenv(name, value)
        assert Options.from_environment() == options
        model = options.load()
        expected = top(compute(model, [decode(work.images[0])])[0])
        rows = expected["top"]
        assert len(rows) == 5
        assert rows == sorted(rows, key=lambda row: -row["probability"])
        with TestClient(create_app()) as client:
            answer = client.post("/predict", files={"image": work.images[0]})
    assert answer.json() == expected


def test_an_answer_has_the_likeliest_first() -> None:
    found = top(torch.tensor([0.1, 0.4, 0.0, 0.2, 0.3, 0.05]))["top"]
    assert [row["label"] for row in found] == [1, 4, 3, 0, 5]


def rows(*labels: int) -> dict[str, list[dict[str, int]]]:
    return {"top": [{"label": label} for label in labels]}


def test_services_that_do_not_do_the_same_work_are_told_apart() -> None:
    ours = {"predictions": [{"top": [{"label": "3"}, {"label": "1"}]}]}
    check_same({"ours": ours, "one": rows(3, 1), "two": [rows(3, 1)]})
    with pytest.raises(BenchmarkError, match="do not name the same labels"):
        check_same({"ours": ours, "one": rows(1, 3)})


def test_a_rival_that_is_not_installed_is_named_with_the_command_that_installs_it() -> None:
    absent = Rival("Absent", "", "no_such_rival", lambda *_: [], "/", lambda *_: b"", (Setup(),))
    with pytest.raises(NotInstalledError, match=r"Absent is not installed.*requirements-rivals"):
        check_installed(absent, RowSettings())
    check_installed(RIVALS["fastapi"], RowSettings())
    with pytest.raises(NotInstalledError, match="not installed for /no/python"):
        check_installed(RIVALS["fastapi"], RowSettings(rivals_python=Path("/no/python")))


class Clock:
    """Time that passes only while a batch is computed, as its size says."""

    def __init__(self, cost: dict[int, float]) -> None:
        self.cost, self.now = cost, 0.0

    def __call__(self) -> float:
        return self.now

    def compute(self, images: Tensor) -> None:
        self.now += self.cost[len(images)]


def test_images_a_second_are_those_of_whole_batches() -> None:
    clock = Clock({8: 2.0})
    assert images_per_second(clock.compute, torch.zeros(8, 1), 5.0, clock=clock) == 4.0
    assert clock.now == 8.0  # one before it is measured, then three


@pytest.mark.parametrize(
    ("cost", "best"),
    [({8: 1, 16: 2, 32: 4, 64: 7}, 64), ({8: 1, 16: 1, 32: 4, 64: 8}, 16)],
)
def test_the_batch_size_is_the_one_with_most_images_a_second(
    cost: dict[int, float], best: int
) -> None:
    clock = Clock(cost)
    assert len(best_batch(clock.compute, torch.zeros(64, 1), clock=clock)) == best
