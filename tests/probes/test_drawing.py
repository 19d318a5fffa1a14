from pathlib import Path

import pytest

from rwsstore.drawing import check_picture
from rwsstore.errors import ConfigError, MissingExtraError, MissingFileError


def test_a_picture_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_picture(tmp_path / "a.png")
    check_picture(Path("b.PNG"))
    assert list(tmp_path.iterdir()) == []


def test_one_that_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.png").mkdir()
    for name in ("a.jpg", "png", "folder.png"):
        with pytest.raises(ConfigError, match="ends in"):
            check_picture(tmp_path / name)
    with pytest.raises(MissingFileError, match="there is no folder"):
        check_picture(tmp_path / "nowhere" / "a.png")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="plots"):
        check_picture(tmp_path / "a.png")
