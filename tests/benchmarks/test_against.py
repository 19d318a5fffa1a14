"""Two checkouts take turns, and the table says which is slower."""

import json
from pathlib import Path

import against
import pytest

_PROGRAM = """\
import json, sys
rows = sys.argv[sys.argv.index("--rows") + 1].split(",")
print("a table for people")
print(json.dumps({{row: {{"ratio": {ratio}, "spread": [1, 1]}} for row in rows}}))
"""


def checkout(folder: Path, ratio: float) -> Path:
    (folder / "benchmarks").mkdir(parents=True)
    (folder / "benchmarks" / "serving.py").write_text(_PROGRAM.format(ratio=ratio))
    return folder


def test_turns_give_the_figures_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = checkout(tmp_path / "old", 2.0)
    monkeypatch.setattr(against, "NEW", checkout(tmp_path / "new", 3.0))
    assert against.main([str(old), "--turns", "2", "--rows", "a,b", "--json"]) == 0
    turn = {"old": {"a": 2.0, "b": 2.0}, "new": {"a": 3.0, "b": 3.0}}
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == [turn, turn]
    assert against.main([str(old), "--turns", "2", "--rows", "a"]) == 0
    assert "1.500" in capsys.readouterr().out


def test_what_is_no_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        against.main([str(tmp_path)])
    assert "holds no benchmarks/serving.py" in capsys.readouterr().err
