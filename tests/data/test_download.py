import sys
from pathlib import Path

import pytest

from rwsstore.data.cifar import CIFAR10, load_cifar
from rwsstore.data.imageset import LoadRequest
from rwsstore.errors import MissingFileError
from rwsstore.models.vision_shim import import_torchvision
from tests.data import published

FETCH = "torchvision.datasets.utils.download_and_extract_archive"


@pytest.fixture(autouse=True)
def _torchvision() -> None:
    import_torchvision()


def test_absent_files_are_fetched_into_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = published.write(tmp_path / "elsewhere", published.contents())
    asked = []

    def fetch(url: str, into: str, *, md5: str, remove_finished: bool) -> None:
        asked.append((url, into, md5, remove_finished))
        sys.stdout.write("fetching\n")
        (tmp_path / "elsewhere").rename(Path(into) / CIFAR10.folder)

    monkeypatch.setattr(FETCH, fetch)
    assert len(load_cifar(LoadRequest(tmp_path, "test"), ready)) == 3
    assert asked == [(CIFAR10.url, str(tmp_path), CIFAR10.archive_md5, True)]
    assert capsys.readouterr() == ("", "fetching\n")


def test_present_files_are_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = published.write(tmp_path / CIFAR10.folder, published.contents())
    monkeypatch.setattr(FETCH, lambda *_, **__: pytest.fail("fetched"))
    assert len(load_cifar(LoadRequest(tmp_path, "train"), files)) == 10


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("corrupted")])
def test_without_a_network_the_message_says_where_the_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(FETCH, fail)
    with pytest.raises(MissingFileError) as caught:
        load_cifar(LoadRequest(tmp_path, "train"), CIFAR10)
    message = str(caught.value)
    assert str(error) in message
    assert f"unpack it in {tmp_path}" in message
    assert CIFAR10.url in message
