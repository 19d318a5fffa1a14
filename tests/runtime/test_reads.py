"""How often a live model asks its source, and the source its files."""

from pathlib import Path

import pytest

from rwsstore.errors import NotAppliedError
from rwsstore.files import OsFiles
from rwsstore.patches import identify
from rwsstore.runtime import ActiveSet, LiveModel, PatchSource
from rwsstore.store import FittingStore, Store
from tests.runtime.making import a_patch
from tests.training.tiny import two_convs

MODEL = two_convs()
PATCHES = [a_patch(MODEL, name, seed=n) for n, name in enumerate(("fog", "snow"))]


class Counted(OsFiles):
    """Notes what is read: names, and objects as "patch"."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    def read(self, path: Path, limit: int) -> bytes:
        self.reads.append("patch" if path.suffix == ".safetensors" else path.stem)
        return super().read(path, limit)

    def taken(self) -> list[str]:
        taken, self.reads = self.reads, []
        return taken


@pytest.fixture
def files() -> Counted:
    return Counted()


@pytest.fixture(params=["as it is", "as one model sees it"])
def source(request: pytest.FixtureRequest, tmp_path: Path, files: Counted) -> PatchSource:
    store = Store(tmp_path / "store", files=files)
    for patch in PATCHES:
        store.publish(patch)
    files.taken()
    fitting = FittingStore(store, identify(MODEL.state_dict()))
    return store if request.param == "as it is" else fitting


def test_each_step_looks_up_once_and_reads_what_is_not_at_hand(
    source: PatchSource, files: Counted
) -> None:
    live = LiveModel(MODEL, source)
    live.apply("fog")
    assert files.taken() == ["fog", "patch"]
    live.apply("fog", 0.5)
    assert files.taken() == ["fog"]
    live.apply("snow")
    assert files.taken() == ["snow", "patch"]
    live.remove("fog")
    assert files.taken() == []
    live.set_patches({"fog": None, "snow": 0.5})
    assert files.taken() == ["fog", "snow"]
    live.clear()
    assert files.taken() == []


def test_what_is_on_is_what_was_asked_for(source: PatchSource) -> None:
    live = LiveModel(MODEL, source)
    fog, snow = (patch.digest for patch in PATCHES)
    variant = live.set_patches({"snow": 0.5, "fog@1": None})
    asked = [(one.patch, one.digest, one.alpha) for one in live.on.patches]
    assert asked == [("snow", snow, 0.5), ("fog@1", fog, 1.0)]
    assert live.on.variant is live.active is variant
    live.apply("snow", 0)
    assert [one.patch for one in live.on.patches] == ["fog@1"]
    with pytest.raises(NotAppliedError, match="on are: fog@1"):
        live.remove("snow")


def test_what_is_activated_is_held_as_it_is(source: PatchSource) -> None:
    live = LiveModel(MODEL, source)
    wanted = ActiveSet(live.on.patches, live.variant({"fog": 0.5}))
    live.activate(wanted)
    assert live.on is wanted
    live.activate(wanted.variant)
    assert [(one.patch, one.alpha) for one in live.on.patches] == [(PATCHES[0].digest, 0.5)]
