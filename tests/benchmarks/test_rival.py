"""The rival's study."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import benchmarks.paper.rival as module
from benchmarks.paper.rival import (
    NO_PATCH,
    ORACLE,
    UNCHANGED,
    Found,
    _sets,
    run,
    tent_rate,
    winners,
)
from benchmarks.paper.study import Study
from rwsstore.corruptions import CORRUPTIONS, corrupt
from rwsstore.errors import ConfigError
from rwsstore.measure import accuracy, rival_accuracy, with_batch_statistics
from rwsstore.measure.rival import Tent, TentOptions, mixed_stream, tent_accuracy
from tests.benchmarks import making
from tests.benchmarks.making import FIVE, TEST, a_study, files_of, models, settings
from tests.training.tiny import classifier

NAMES = ("gaussian_noise", "saturate", "contrast")
"""One of the benchmark's extra types among them."""
RATES = (0.001, 0.05)


@pytest.fixture(autouse=True)
def _patches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "NAMES", (*making.NAMES, "saturate"))


def study_in(folder: Path, **fields: object) -> Study:
    rival = {
        "corruptions": NAMES, "batches": (1, 8), "batch_one_images": 10, "tent_batches": (8, 20),
        "tent_learning_rates": RATES,
    }  # fmt: skip
    return a_study("rival", folder, settings=settings(rival=rival), **fields)


def cells(page: str) -> dict[str, list[str]]:
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    rows = [[cell.strip().strip("*") for cell in line] for line in lines]
    return {row[0]: row[1:] for row in rows}


def test_the_page(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    run(study)
    assert set(files_of(study)) == {"rival.md", "rival.png"}
    rows = cells((study.docs / "rival.md").read_text())
    assert rows["images"] == [
        NO_PATCH, "BatchNorm at batch 1", "BatchNorm at batch 8", "TENT at batch 8",
        "TENT at batch 20", ORACLE,
    ]  # fmt: skip
    assert list(rows)[2:] == [
        UNCHANGED, *NAMES, "mean of 2", "mean of 3", "mixed stream of 2", "mixed stream of 3",
    ]  # fmt: skip
    for name in (UNCHANGED, *NAMES):
        assert rows[name] == by_hand(study, name)
    main = [rows[name] for name in NAMES if name != "saturate"]
    for column, mean in enumerate(rows["mean of 2"]):
        assert float(mean) == pytest.approx(sum(float(r[column]) for r in main) / 2, abs=0.11)
    check_mixed(study, rows)


def by_hand(study: Study, name: str) -> list[str]:
    def shown(images: Tensor) -> Tensor:
        return images if name == UNCHANGED else corrupt(images, name, 5, seed=0)

    folded, unfolded = models()
    images, labels = shown(TEST.images), TEST.labels
    few = TEST.limit(10, 0)
    plain = with_batch_statistics(unfolded)
    numbers = [accuracy(folded, images, labels)]
    numbers += [rival_accuracy(plain, shown(few.images), few.labels, 1)]
    numbers += [rival_accuracy(plain, images, labels, 8)]
    for batch in (8, 20):
        rate = tent_rate(study, unfolded, batch)
        tent = Tent(unfolded, TentOptions(learning_rate=rate))
        numbers.append(tent_accuracy(tent, images, labels, batch))
    if name == UNCHANGED:
        numbers.append(numbers[0])  # the oracle takes the patch off
    else:
        patched = study.patched(study.patches([name])[name])
        numbers.append(accuracy(patched, images, labels))
    return [f"{number:.1f}" for number in numbers]


def check_mixed(study: Study, rows: dict[str, list[str]]) -> None:
    stream = mixed_stream(TEST.images, NAMES, 5, seed=0)
    right = 0
    for image, label, which in zip(stream.images, TEST.labels, stream.which, strict=True):
        name = NAMES[int(which)]
        logits = study.patched(study.patches([name])[name])(image[None])
        right += int(logits.argmax() == label)
    row = rows["mixed stream of 3"]
    assert row[-1] == f"{100 * right / len(TEST):.1f}"
    folded, unfolded = models()
    plain = with_batch_statistics(unfolded)
    assert row[0] == f"{accuracy(folded, stream.images, TEST.labels):.1f}"
    assert row[2] == f"{rival_accuracy(plain, stream.images, TEST.labels, 8):.1f}"


def never(*arguments: object, **options: object) -> float:
    raise AssertionError("this was measured before")


def test_a_second_run_measures_nothing_and_writes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, done = study_in(tmp_path), 0

    def interrupted(*arguments: object, **options: object) -> float:
        nonlocal done
        done += 1
        if done > 3:
            raise KeyboardInterrupt
        return tent_accuracy(*arguments, **options)  # type: ignore[arg-type]  # passed on as they came

    with monkeypatch.context() as patching:
        patching.setattr(module, "tent_accuracy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(stopped)
    assert len(stopped.results) == 3
    assert not stopped.docs.exists()
    run(study_in(tmp_path))
    before = files_of(stopped)
    making.forbid_work(monkeypatch)
    for name in ("tent_accuracy", "rival_accuracy", "correctness", "mixed_stream"):
        monkeypatch.setattr(module, name, never)
    run(study_in(tmp_path))
    assert files_of(stopped) == before


def test_the_learning_rate_is_the_best_on_corrupted_validation_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, unfolded = study_in(tmp_path), models()[1]
    seen: list[tuple[float, str]] = []
    corrupted = {name: study.corrupted(study.validation, name) for name in FIVE}

    def pretended(tent: Tent, images: Tensor, labels: Tensor, batch: int) -> float:
        assert batch == 8
        assert labels is study.validation.labels
        rate = tent.options.learning_rate
        seen.extend((rate, name) for name in FIVE if torch.equal(images, corrupted[name]))
        return 100 * rate

    monkeypatch.setattr(module, "tent_accuracy", pretended)
    assert tent_rate(study, unfolded, 8) == 0.05
    assert sorted(seen) == sorted((rate, name) for rate in RATES for name in FIVE)


def test_the_benchmarks_main_types_are_fifteen() -> None:
    main, every = _sets(tuple(CORRUPTIONS))
    assert len(main) == 15
    assert len(every) == 19
    assert set(every) - set(main) == {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
    assert _sets(("fog", "snow")) == [("fog", "snow")]
    assert _sets(("saturate",)) == [("saturate",)]


def found(fog: tuple[float, float], snow: tuple[float, float]) -> Found:
    def row(tent: float, ours: float) -> dict[str, float]:
        return {NO_PATCH: 10.0, "TENT": tent, ORACLE: ours}

    single = {UNCHANGED: row(80.0, 90.0), "fog": row(*fog), "snow": row(*snow)}
    return Found(single, {2: row(20.0, 75.0)})


def test_who_wins_where_is_said_plainly() -> None:
    said = winners(found((60.0, 70.0), (71.0, 70.0)), [("fog", "snow")])
    assert said[0] == (
        "All images of one corruption, mean of 2 types: RWS, oracle 70.0, TENT 65.5, no patch 10.0."
        " The oracle's patches are best on 1 of 2; TENT on snow."
    )
    assert said[1] == "On the mixed stream of 2 types: RWS, oracle 75.0, TENT 20.0, no patch 10.0."
    assert said[2].startswith("On clean images: RWS, oracle 90.0, TENT 80.0")


def test_the_rival_wins_ties() -> None:
    said = winners(found((70.0, 70.0), (60.0, 70.0)), [("fog", "snow")])
    assert said[0].endswith("best on 1 of 2; TENT on fog.")
    every = winners(found((60.0, 70.0), (60.0, 70.0)), [("fog", "snow")])
    assert every[0].endswith("best on 2 of 2.")


@pytest.mark.parametrize(
    ("unfolded", "message"),
    [(lambda: None, "--work-bundle"), (lambda: classifier(size=8, seed=9), "folded, it differs")],
)
def test_without_the_right_unfolded_network_nothing_is_measured(
    tmp_path: Path, unfolded: Callable[[], object], message: str
) -> None:
    study = study_in(tmp_path, unfolded=unfolded())
    with pytest.raises(ConfigError, match=message):
        run(study)
    assert len(study.results) == 0
