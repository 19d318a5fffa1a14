from pathlib import Path
from shutil import copytree

import pytest

from rwsstore.making import DeltaOptions, publish_delta
from rwsstore.making.pipeline import SweepItem
from rwsstore.progress import SILENT, Reporter
from rwsstore.store import Store
from rwsstore.training import CorruptionResistantRecipe, WeightRecipe
from tests.making.test_deltas import extract
from tests.making.tiny import TRAIN, VALIDATION, clean_model, options, recipes
from tests.training.test_resume import Interrupting


def publish(
    store: Store,
    wanted: DeltaOptions | None = None,
    recipe: WeightRecipe | None = None,
    *,
    name: str | None = None,
    state_folder: Path | None = None,
    progress: Reporter = SILENT,
) -> SweepItem:
    return publish_delta(
        clean_model(), recipe or recipes()["corruption_resistant"], TRAIN, VALIDATION,
        wanted or options(), store, name=name, state_folder=state_folder, progress=progress,
    )  # fmt: skip


def test_it_is_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = publish(store)
    assert (first.version, first.extracted) == (1, True)
    assert first.patch.digest == extract().digest
    monkeypatch.setattr("rwsstore.making.pipeline.fit", None)
    again = publish(store)
    assert (again.version, again.extracted) == (1, False)
    assert again.patch.digest == first.patch.digest


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "store"
    publish(Store(folder))
    return folder


@pytest.fixture
def begun(published: Path, tmp_path: Path) -> Store:
    """A store with the patch."""
    return Store(Path(copytree(published, tmp_path / "begun")))


@pytest.mark.parametrize(
    "fields",
    [
        {"bits": 4}, {"alphas": (1.0,)}, {"card_images": 9}, {"card_budget": 0.3},
        {"training": {"epochs": 1, "padding": 1, "learning_rate": 0.02}},
    ],
    ids=str,
)  # fmt: skip
def test_changed_options_make_a_new_version(begun: Store, fields: dict[str, object]) -> None:
    item = publish(begun, options(**fields))
    assert (item.version, item.extracted) == (2, True)
    assert not publish(begun, options(**fields)).extracted


def test_another_setting_makes_a_new_version(begun: Store) -> None:
    other = CorruptionResistantRecipe.configured({"epsilon": 0.25, "weight": 0.4})
    assert publish(begun, recipe=other).version == 2


def test_other_names_are_other_patches(begun: Store) -> None:
    assert publish(begun, name="hard").patch.name == "hard"
    assert [entry.name for entry in begun.list()] == ["corruption_resistant", "hard"]


def test_an_interrupted_training_goes_on(store: Store, tmp_path: Path) -> None:
    states = tmp_path / "runs"
    with pytest.raises(KeyboardInterrupt):
        publish(store, state_folder=states, progress=Interrupting(5))
    assert [path.name.rpartition("-")[0] for path in states.iterdir()] == ["corruption_resistant"]
    assert store.list() == ()
    item = publish(store, state_folder=states)
    assert item.patch.digest == extract().digest
    assert list(states.iterdir()) == []
