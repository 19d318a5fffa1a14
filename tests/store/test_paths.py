from pathlib import Path

import platformdirs
import pytest

from rwsstore.store import default_store_path


def test_the_platform_s_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RWS_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_store_path() == platformdirs.user_data_path("rwsstore") / "store"
    assert default_store_path().is_relative_to(tmp_path)
    assert not default_store_path().exists()


def test_the_variable_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RWS_STORE", str(tmp_path / "a"))
    assert default_store_path() == tmp_path / "a"
    monkeypatch.setenv("RWS_STORE", str(tmp_path / "b"))
    assert default_store_path() == tmp_path / "b"


def test_home_and_relative_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RWS_STORE", "~/patches")
    assert default_store_path() == tmp_path / "patches"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RWS_STORE", "patches")
    assert default_store_path() == tmp_path / "patches"


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RWS_STORE", "")
    assert default_store_path().name == "store"
