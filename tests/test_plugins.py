"""Modules from outside: which are loaded, when, and what is said of one that cannot be.

That no import of the package loads any: tests/test_layout.py.
"""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from rwsstore import plugins
from rwsstore.cli.main import main
from rwsstore.errors import ConfigError


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that count how often they were imported."""
    for name in ("rws_first", "rws_second"):
        (tmp_path / f"{name}.py").write_text(f"import sys\nsys.stderr.write('{name}!')\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "rws_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_those_of_the_variable_are_imported_once(
    outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "rws_first, rws_second,")
    plugins.load()
    plugins.load()
    assert capsys.readouterr().err == "rws_first!rws_second!"


def test_those_of_entry_points_are_imported(
    outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(*, group: str) -> list[EntryPoint]:
        return [EntryPoint("anything", module, group) for module in ("rws_first", "rws_broken")]

    monkeypatch.setattr(plugins, "entry_points", found)
    monkeypatch.setenv(plugins.VARIABLE, "rws_second")
    with pytest.raises(ConfigError, match=r"rws_broken .entry point anything.*uninstall it"):
        plugins.load()
    assert capsys.readouterr().err == "rws_first!"


@pytest.mark.parametrize(
    ("module", "told"), [("rws_broken", "ZeroDivisionError"), ("rws_absent", "ModuleNotFoundError")]
)
def test_a_command_says_which_cannot_be_imported(
    module: str,
    told: str,
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(plugins.VARIABLE, f"rws_first,{module}")
    assert main(["train", "--help"]) == ConfigError.exit_code
    message = " ".join(capsys.readouterr().err.split())
    assert f"plugin {module} (RWS_PLUGINS) cannot be imported: {told}" in message
    assert "PYTHONPATH" in message
    assert main(["--help"]) == 0
