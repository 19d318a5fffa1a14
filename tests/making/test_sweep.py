from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from torch import nn

from rwsstore.data import ImageSet
from rwsstore.errors import ConflictError, UnknownNameError
from rwsstore.making import ExtractionOptions, extract_all, extract_patch, pipeline
from rwsstore.making.pipeline import SweepItem
from rwsstore.store import Store
from rwsstore.training import fit
from rwsstore.training.config import TrainingResult
from tests.making.test_signatures import TRAIN, VALIDATION, anchor_for, options, trained
from tests.training.test_resume import Interrupting
from tests.training.tiny import config, pictures

NAMES = ("contrast", "fog")


def run(
    store: Store,
    wanted: ExtractionOptions | None = None,
    *,
    names: Sequence[str] = NAMES,
    clean: nn.Module | None = None,
    anchor: nn.Module | None = None,
    train: ImageSet = TRAIN,
    validation: ImageSet = VALIDATION,
    state_folder: Path | None = None,
) -> list[SweepItem]:
    wanted = wanted or options()
    return list(
        extract_all(
            clean or trained()[0], names, train, validation, wanted, store,
            anchor=anchor or anchor_for(wanted.anchor), state_folder=state_folder,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the patch of one corruption."""
    folder = tmp_path_factory.mktemp("published") / "store"
    run(Store(folder), names=["contrast"])
    return folder


@pytest.fixture
def begun(published: Path, tmp_path: Path) -> Store:
    """A copy of that store."""
    return Store(Path(copytree(published, tmp_path / "begun")))


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "fit", None)


def test_each_patch_is_published_as_soon_as_it_is_finished(store: Store, tmp_path: Path) -> None:
    state_folder = tmp_path / "runs"
    items = extract_all(
        trained()[0], NAMES, TRAIN, VALIDATION, options(), store, state_folder=state_folder
    )
    first = next(items)
    assert (first.version, first.extracted) == (1, True)
    assert store.get("contrast").digest == first.patch.digest
    assert [entry.name for entry in store.list()] == ["contrast"]
    rest = list(items)
    assert [item.patch.name for item in rest] == ["fog"]
    assert [entry.name for entry in store.list()] == ["contrast", "fog"]
    assert list(state_folder.iterdir()) == []


def test_a_patch_is_the_one_that_is_extracted_alone(store: Store) -> None:
    alone = extract_patch(trained()[0], "fog", TRAIN, VALIDATION, options())
    assert run(store)[1].patch.digest == alone.digest


def test_a_second_run_extracts_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(store)
    monkeypatch.setattr(pipeline, "fit", None)
    again = run(store, state_folder=tmp_path / "runs")
    assert [item.extracted for item in again] == [False, False]
    assert [item.patch.digest for item in again] == [item.patch.digest for item in first]
    assert [item.version for item in again] == [1, 1]
    assert not (tmp_path / "runs").exists()


def test_a_second_run_adds_what_is_missing(begun: Store) -> None:
    assert [item.extracted for item in run(begun)] == [False, True]


@pytest.mark.parametrize(
    "fields",
    [
        {"severity": 3}, {"layers": 1}, {"bits": 4}, {"training_mode": "full"},
        {"anchor": "early"}, {"alphas": (0.5,)}, {"card_images": 5},
        {"training": config(1).model_dump()}, {"training": config(2, seed=1).model_dump()},
    ],
    ids=str,
)  # fmt: skip
def test_changed_options_extract_a_new_version(begun: Store, fields: dict[str, object]) -> None:
    (item,) = run(begun, options(**fields), names=["contrast"])
    assert (item.extracted, item.version) == (True, 2)
    (again,) = run(begun, options(**fields), names=["contrast"])
    assert (again.extracted, again.version) == (False, 2)


@pytest.mark.parametrize("what", ["clean", "train", "validation"])
def test_another_model_or_other_images_extract_a_new_version(begun: Store, what: str) -> None:
    (item,) = run(
        begun,
        names=["contrast"],
        clean=trained()[1] if what == "clean" else None,
        train=pictures(36, size=16, seed=5) if what == "train" else TRAIN,
        validation=pictures(18, size=16, seed=5) if what == "validation" else VALIDATION,
    )
    assert (item.extracted, item.version) == (True, 2)


def test_another_anchor_extracts_a_new_version(store: Store) -> None:
    wanted = options(anchor="early")
    run(store, wanted, names=["contrast"])
    (item,) = run(store, wanted, names=["contrast"], anchor=anchor_for("pretrained"))
    assert (item.extracted, item.version) == (True, 2)


def test_a_patch_without_a_card_is_not_taken_for_this_one(store: Store) -> None:
    patch = run(store, names=["contrast"])[0].patch
    assert patch.golden is not None
    assert patch.metadata.golden is not None
    bare = patch.with_evidence(card=None, golden=patch.golden, probe=patch.metadata.golden)
    store.publish(bare)
    (item,) = run(store, names=["contrast"])
    assert (item.extracted, item.version) == (True, 3)


def test_an_interruption_keeps_what_was_published_and_where_the_training_was(
    store: Store, tmp_path: Path
) -> None:
    state_folder = tmp_path / "runs"
    steps = 2 * 3 + 3  # of one training, and of its card
    items = extract_all(
        trained()[0], NAMES, TRAIN, VALIDATION, options(), store, state_folder=state_folder,
        progress=Interrupting(steps + 4),
    )  # fmt: skip
    next(items)
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert [entry.name for entry in store.list()] == ["contrast"]
    assert [path.name.split("-")[0] for path in state_folder.iterdir()] == ["fog"]
    done = run(store, state_folder=state_folder)
    assert [item.extracted for item in done] == [False, True]
    assert done[1].patch.digest == run(Store(tmp_path / "other"))[1].patch.digest
    assert list(state_folder.iterdir()) == []


def test_states_of_different_runs_do_not_meet(store: Store, tmp_path: Path) -> None:
    state_folder = tmp_path / "runs"
    cases: list[tuple[ExtractionOptions, ImageSet]] = [
        (options(), TRAIN),
        (options(severity=3), TRAIN),
        (options(), pictures(36, size=16, seed=5)),
    ]
    for wanted, images in cases:
        items = extract_all(
            trained()[0], ["fog"], images, VALIDATION, wanted, store,
            state_folder=state_folder, progress=Interrupting(4),
        )  # fmt: skip
        with pytest.raises(KeyboardInterrupt):
            next(items)
    assert len(list(state_folder.iterdir())) == 3


def test_somebody_elses_publication_in_between_is_a_conflict(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = extract_patch(trained()[0], "contrast", TRAIN, VALIDATION, options(bits=4))

    def slow(*arguments: Any, **named: Any) -> TrainingResult:
        store.publish(other)
        return fit(*arguments, **named)

    monkeypatch.setattr(pipeline, "fit", slow)
    with pytest.raises(ConflictError):
        run(store)
    assert [entry.digest for entry in store.list(all_versions=True)] == [other.digest]


def test_a_name_of_a_layer_underneath_gets_its_next_version(store: Store, tmp_path: Path) -> None:
    run(store, names=["contrast"])
    upper = Store(tmp_path / "upper", base=Store(store.root, read_only=True))
    (same,) = run(upper, names=["contrast"])
    assert (same.extracted, same.version) == (False, 1)
    (item,) = run(upper, options(bits=4), names=["contrast"])
    assert (item.extracted, item.version) == (True, 2)
    assert upper.get("contrast@1").digest == same.patch.digest


@pytest.mark.usefixtures("no_training")
def test_an_unknown_corruption_is_refused_before_the_first_training(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'fog'"):
        run(store, names=["contrast", "fogg"])
    assert store.list() == ()
