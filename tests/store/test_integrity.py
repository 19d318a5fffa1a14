"""Stored bytes that change: found at every read, put aside, never served."""

import random
from pathlib import Path

import pytest

from rwsstore.canonical import sha256_hex
from rwsstore.errors import FormatError, IntegrityError, StoreError, UnknownPatchError
from rwsstore.files import OsFiles
from rwsstore.store import Store
from tests.store.helpers import patch


def object_path(store: Store, digest: str) -> Path:
    return store.root / "objects" / digest[:2] / f"{digest}.safetensors"


def flip(path: Path, bit: int) -> bytes:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return bytes(data)


def test_every_flipped_bit_is_found(store: Store) -> None:
    data = patch().to_bytes()
    bits = [*random.Random(0).sample(range(8 * len(data)), 100), 0, 8 * len(data) - 1]
    for count, bit in enumerate(bits, start=1):
        digest = store.publish(patch()).digest  # publishing again heals
        damaged = flip(object_path(store, digest), bit)
        with pytest.raises(IntegrityError, match=f"{digest} is damaged.*moved to"):
            store.get("fog")
        with pytest.raises(UnknownPatchError):
            store.get("fog")
        kept = store.root / "quarantine" / f"{digest}.safetensors.{count}"
        assert kept.read_bytes() == damaged
    store.publish(patch())
    assert store.fsck().clean


@pytest.mark.parametrize("content", [b"", b"\0", b"half"])
def test_cut_and_grown_objects_are_found(store: Store, content: bytes) -> None:
    digest = store.publish(patch()).digest
    path = object_path(store, digest)
    path.write_bytes(patch().to_bytes() + b"\0" if content == b"half" else content)
    with pytest.raises(IntegrityError):
        store.read(digest)
    assert not store.has(digest)


def test_publishing_again_heals_and_keeps_the_damaged_object_aside(store: Store) -> None:
    digest = store.publish(patch()).digest
    damaged = flip(object_path(store, digest), 1000)
    assert store.publish(patch()).created is False
    assert store.read(digest) == patch().to_bytes()
    assert (store.root / "quarantine" / f"{digest}.safetensors.1").read_bytes() == damaged


def test_another_patch_under_the_digest_is_not_served(store: Store) -> None:
    digest = store.publish(patch(0)).digest
    object_path(store, digest).write_bytes(patch(1).to_bytes())
    with pytest.raises(IntegrityError, match=f"hash to {patch(1).digest}"):
        store.get("fog")


def test_bytes_of_the_right_digest_that_are_no_patch(store: Store) -> None:
    store.publish(patch())
    data = b"no patch"
    path = object_path(store, sha256_hex(data))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    with pytest.raises(FormatError):
        store.get(sha256_hex(data))


class Swapping(OsFiles):
    """Somebody replaces an object as soon as it has been looked at, or read."""

    def __init__(self, after: str, content: bytes) -> None:
        self.after, self.content = after, content
        self.reads = 0

    def size(self, path: Path) -> int:
        size = super().size(path)
        if self.after == "size" and path.suffix == ".safetensors":
            path.write_bytes(self.content)
        return size

    def read(self, path: Path, limit: int) -> bytes:
        data = super().read(path, limit)
        if path.suffix == ".safetensors":
            self.reads += 1
            if self.after == "read":
                path.write_bytes(self.content)
        return data


def test_what_was_hashed_is_what_is_parsed(store: Store) -> None:
    digest = store.publish(patch(0)).digest
    files = Swapping("read", patch(1).to_bytes())
    found = Store(store.root, files=files).get("fog")
    assert files.reads == 1
    assert found.to_bytes() == patch(0).to_bytes()
    with pytest.raises(IntegrityError):
        store.read(digest)


def test_a_file_replaced_between_check_and_read_is_found(store: Store) -> None:
    store.publish(patch(0))
    files = Swapping("size", patch(1).to_bytes())
    with pytest.raises(IntegrityError):
        Store(store.root, files=files).get("fog")


def test_an_object_that_was_healed_in_between_is_not_put_aside(store: Store) -> None:
    digest = store.publish(patch()).digest

    class Healed(OsFiles):
        def read(self, path: Path, limit: int) -> bytes:
            data = super().read(path, limit)
            if path.suffix == ".safetensors" and data != patch().to_bytes():
                path.write_bytes(patch().to_bytes())
            return data

    flip(object_path(store, digest), 1000)
    with pytest.raises(IntegrityError, match="Read it again"):
        Store(store.root, files=Healed()).read(digest)
    assert store.read(digest) == patch().to_bytes()
    assert not (store.root / "quarantine").exists()


def test_a_device_that_cannot_be_read_is_no_reason_to_put_an_object_aside(store: Store) -> None:
    digest = store.publish(patch()).digest

    class Broken(OsFiles):
        def read(self, path: Path, limit: int) -> bytes:
            if path.suffix == ".safetensors":
                raise OSError(5, "Input/output error")
            return super().read(path, limit)

    with pytest.raises(StoreError, match="cannot read"):
        Store(store.root, files=Broken()).get("fog")
    assert store.read(digest) == patch().to_bytes()
