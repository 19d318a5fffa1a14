"""`rws remote push` and `pull` with real patches and a small service on a real socket."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from rwsstore.patches import Patch, compose
from rwsstore.store import Store
from tests.cli.conftest import Bench, Rws
from tests.clients.fake import TOKEN, FakeService, Stored, served


@pytest.fixture
def store(bench: Bench, tmp_path: Path) -> Store:
    """fog and contrast, and a composed patch of both."""
    store = Store(Path(copytree(bench.store, tmp_path / "store")))
    store.publish(compose("both", [(store.get("fog"), 0.6), (store.get("contrast"), 0.4)]))
    return store


@pytest.fixture
def fake() -> FakeService:
    fake = FakeService()
    fake.patches.clear()
    return fake


@pytest.fixture(autouse=True)
def box(fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("RWS_TOKEN", TOKEN)
    with served(fake.handle) as url:
        monkeypatch.setenv("RWS_URL", url)
        yield url


def names(fake: FakeService) -> list[str]:
    return [f"{patch.name}@{patch.version}" for patch in fake.patches]


def test_push_one(rws: Rws, fake: FakeService, store: Store) -> None:
    first = rws("remote", "push", "fog", "--store", store.root)
    assert first.code == 0
    assert first.out.startswith(f"fog@1 {store.resolve('fog')[:12]} sent (")
    assert fake.patches[0].data == store.read(store.resolve("fog"))
    again = rws("remote", "push", "fog@1", store.resolve("fog")[:12], "--store", store.root)
    assert again.out.count("was there already") == 2
    assert names(fake) == ["fog@1"]


def test_push_all_sends_parts_before_what_is_made_of_them(
    rws: Rws, fake: FakeService, store: Store
) -> None:
    found = rws("remote", "push", "--all", "--store", store.root, "--json").document["patches"]
    assert names(fake) == ["contrast@1", "fog@1", "both@1"]
    assert [(one["name"], one["version"], one["moved"]) for one in found] == [
        ("contrast", 1, True), ("fog", 1, True), ("both", 1, True),
    ]  # fmt: skip
    again = rws("remote", "push", "--all", "--store", store.root)
    assert again.out.count("was there already") == 3
    assert len(fake.patches) == 3


def test_push_sends_the_parts_along(rws: Rws, fake: FakeService, store: Store) -> None:
    assert rws("remote", "push", "both", "--store", store.root).code == 0
    assert names(fake)[-1] == "both@1"
    assert sorted(names(fake)[:2]) == ["contrast@1", "fog@1"]


def test_a_part_moves_no_name(rws: Rws, fake: FakeService, store: Store) -> None:
    fake.patches.append(Stored("fog", 1, b"another fog"))
    assert rws("remote", "push", "both", "--store", store.root).code == 0
    digest = store.resolve("fog")
    assert fake.find("fog").data == b"another fog"
    assert fake.find(f"fog.{digest[:8]}").digest == digest
    assert rws("remote", "push", "both", "--store", store.root).out.count("already") == 3
    assert rws("remote", "push", "fog", "--store", store.root).out.startswith("fog@2 ")
    assert fake.find("fog").digest == digest


def test_push_what_somebody_sends_meanwhile(
    rws: Rws, fake: FakeService, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "page", 0)  # the listing does not show it yet
    fake.patches.append(Stored("fog", 1, store.read(store.resolve("fog"))))
    found = rws("remote", "push", "fog", "--store", store.root)
    assert (found.code, "fog@1" in found.out, "already" in found.out) == (0, True, True)


def test_push_refuses(rws: Rws, fake: FakeService, store: Store, tmp_path: Path) -> None:
    assert rws("remote", "push", "smog", "--store", store.root).code == 3
    assert rws("remote", "push", "--all", "--store", tmp_path / "none").code == 4
    assert rws("remote", "push", "fog", "smog", "--store", store.root).code == 3
    assert fake.patches == []


def test_push_tells_how_far_it_is(rws: Rws, store: Store) -> None:
    assert "sending 3/3" in rws("remote", "push", "--all", "--store", store.root).err


def test_pull_into_a_store(rws: Rws, fake: FakeService, store: Store, tmp_path: Path) -> None:
    rws("remote", "push", "--all", "--store", store.root)
    mine = tmp_path / "mine"
    first = rws("remote", "pull", "both", "--store", mine)
    assert (first.code, first.out.count("fetched")) == (0, 3)
    assert [entry.name for entry in Store(mine).list()] == ["both", "contrast", "fog"]
    assert Store(mine).read(Store(mine).resolve("both")) == store.read(store.resolve("both"))
    again = rws("remote", "pull", "both", "--store", mine, "--json").document["patches"]
    assert [(one["name"], one["moved"]) for one in again] == [("both", False)]


def test_pull_moves_no_name_of_a_part(
    rws: Rws, fake: FakeService, store: Store, tmp_path: Path
) -> None:
    rws("remote", "push", "both", "--store", store.root)
    mine = Store(tmp_path / "mine")
    mine.publish(store.get("contrast"), name="fog")
    assert rws("remote", "pull", "both", "--store", mine.root).code == 0
    fog = store.resolve("fog")
    assert mine.resolve("fog") == store.resolve("contrast")
    assert mine.resolve(f"fog.{fog[:8]}") == fog


def test_pull_into_a_file(rws: Rws, store: Store, tmp_path: Path) -> None:
    rws("remote", "push", "fog", "--store", store.root)
    file = tmp_path / "fog.safetensors"
    assert rws("remote", "pull", "fog", "--out", file).code == 0
    assert Patch.from_bytes(file.read_bytes()).digest == store.resolve("fog")
    assert rws("remote", "pull", "smog", "--out", tmp_path / "smog").code == 3
    assert not (tmp_path / "smog").exists()


def test_pull_refuses_what_is_no_patch(rws: Rws, fake: FakeService, tmp_path: Path) -> None:
    fake.patches.append(Stored("fog", 1, b"no patch"))
    assert rws("remote", "pull", "fog", "--store", tmp_path / "mine").code == 4
    assert not (tmp_path / "mine").exists()
