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


def test_a_run_that_is_cut_leaves_the_turns_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = iter([{"a": 2.0, "b": 4.0}, {"a": 3.0, "b": 2.0}])

    def measure(*_: object) -> dict[str, float]:
        for figures in turns:
            return figures
        raise KeyboardInterrupt

    monkeypatch.setattr(against, "_measure", measure)
    with pytest.raises(KeyboardInterrupt):
        against.main([str(checkout(tmp_path / "old", 2.0)), "--turns", "2"])
    printed = capsys.readouterr()
    assert "turn 1: a: old 2, new 3, new / old 1.500\n" in printed.err
    assert "turn 1: b: old 4, new 2, new / old 0.500\n" in printed.err
    assert printed.out == ""


def test_what_is_no_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        against.main([str(tmp_path)])
    assert "holds no benchmarks/serving.py" in capsys.readouterr().err
