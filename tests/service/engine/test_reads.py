"""How often a change, or a prediction, looks a name up and reads the file of a patch."""

from collections import Counter
from pathlib import Path

import pytest

from rwsstore.errors import IntegrityError
from rwsstore.files import OsFiles
from rwsstore.patches import compose
from rwsstore_service.engine import finding as editing
from rwsstore_service.engine.finding import Choice
from tests.service.engine.hosting import House, choices, good_patches

NAMES = ("fog", "rain", "snow")


class Reads:
    """Counts reads of the store's files."""

    def __init__(self, house: House) -> None:
        self._store, self._paths = house.store, Counter[Path]()

    def note(self, path: Path) -> None:
        self._paths[path] += 1

    def taken(self, *names: str) -> list[tuple[int, int]]:
        """For each name, reads of its ref and of its patch since this was asked last."""
        refs = [self._paths[self._store.root / "refs" / f"{name}.json"] for name in names]
        objects = Counter({path.stem: count for path, count in self._paths.items()})
        found = [objects[self._store.resolve(name)] for name in names]
        self._paths.clear()
        return list(zip(refs, found, strict=True))


@pytest.fixture
def reads(house: House, monkeypatch: pytest.MonkeyPatch) -> Reads:
    made, read = Reads(house), OsFiles.read

    def noting(files: OsFiles, path: Path, limit: int) -> bytes:
        made.note(path)
        return read(files, path, limit)

    monkeypatch.setattr(OsFiles, "read", noting)
    return made


def apply(house: House, name: str, alpha: float | None = None) -> None:
    house.change(editing.apply(house.host.finder, Choice(name, alpha)))


def test_a_first_change_looks_up_and_reads_once(house: House, reads: Reads) -> None:
    apply(house, "fog")
    assert reads.taken("fog") == [(1, 1)]


def test_what_is_resident_is_not_read_at_all(house: House, reads: Reads) -> None:
    apply(house, "fog")
    reads.taken("fog")
    for alpha in (0.5, None, 0.25):
        apply(house, "fog", alpha)
        assert reads.taken("fog") == [(1, 0)]


def test_a_whole_set_reads_each_patch_once(house: House, reads: Reads) -> None:
    house.change(editing.replace(house.host.finder, [Choice(name) for name in NAMES]))
    assert reads.taken(*NAMES) == [(1, 1)] * 3


def test_what_is_on_is_scaled_and_taken_off_without_a_look(house: House, reads: Reads) -> None:
    house.want(fog=0.5, rain=0.5)
    reads.taken(*NAMES)
    house.change(editing.scale(house.host.finder, Choice("fog", 0.75)))
    house.change(editing.remove(house.host.finder, "rain"))
    house.change(lambda _on: house.host.generation(2).patches)
    assert reads.taken(*NAMES) == [(0, 0)] * 3


def test_a_composed_patch_and_its_parts_are_read_once(house: House, reads: Reads) -> None:
    fog, rain, _ = good_patches()
    house.store.publish(compose("both", [(fog, 0.5), (rain, 0.5)]))
    reads.taken("both", *NAMES)
    apply(house, "both")
    assert reads.taken("both", "fog", "rain") == [(1, 1), (0, 1), (0, 1)]
    apply(house, "both", 0.5)
    assert reads.taken("both", "fog", "rain") == [(1, 0), (0, 0), (0, 0)]


def test_a_prediction_with_a_set_of_its_own_reads_once(house: House, reads: Reads) -> None:
    house.predict("fog,rain=0.5")
    assert reads.taken("fog", "rain") == [(1, 1), (1, 1)]
    house.predict("fog=0.5")
    assert reads.taken("fog") == [(1, 0)]


def test_a_restart_reads_what_is_on_once_and_no_name(house: House, reads: Reads) -> None:
    house.want(fog=0.5, rain=0.5)
    reads.taken("fog", "rain")
    house.again()
    assert reads.taken("fog", "rain") == [(0, 1), (0, 1)]


def test_what_is_described_is_still_hashed_before_it_is_put_on(house: House) -> None:
    house.settings = {"resident_bytes": 0}
    house.again()
    apply(house, "fog")
    house.want(rain=0.5)
    house.told.clear()  # or it would be at hand
    (file,) = house.store.root.rglob(f"{house.store.resolve('fog')}*")
    file.write_bytes(file.read_bytes()[:-1])
    before = house.host.active
    with pytest.raises(IntegrityError):
        apply(house, "fog")
    assert house.host.active is before


def test_a_set_by_names_is_the_set_of_a_request(house: House, reads: Reads) -> None:
    for wanted in ({"fog": 0.5}, {"fog": 0.5, "snow": 1.0}):
        house.change(editing.replace(house.host.finder, choices(wanted)))
    assert reads.taken("fog", "snow") == [(2, 1), (1, 1)]
