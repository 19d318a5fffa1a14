import errno
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rwsstore.cli.main import COMMANDS, cli, main, reference
from tests.cli.conftest import Rws


def test_help_lists_every_command_with_its_own_words(rws: Rws) -> None:
    outcome = rws("--help")
    assert outcome.code == 0
    context = click.Context(cli)
    for name, row in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(200) == row.summary
        assert name in outcome.out


def test_help_needs_neither_torch_nor_matplotlib() -> None:
    program = (
        "import sys; from rwsstore.cli.main import main; main(['--help']); "
        "assert not {'torch', 'matplotlib', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_the_page_of_commands_is_their_own_help() -> None:
    page = Path(__file__).parents[2] / "docs" / "use" / "cli.md"
    assert page.read_text() == reference(), "run: make docs"


def test_wrong_usage_is_2(rws: Rws) -> None:
    assert rws("no-such-command").code == 2
    assert rws("train").code == 2
    assert rws("--threads", "many", "demo").code == 2


def test_the_version(rws: Rws) -> None:
    assert rws("--version").out.startswith("rws, version ")


def test_a_command_computes_with_the_threads_that_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", given.append)
    monkeypatch.setattr("rwsstore.cpu.thread_count", lambda: 7)
    assert main(["--threads", "3", "apply", "--patch", "none", "--out", "x"]) != 0
    assert main(["inspect", "none.safetensors"]) == 3
    assert main(["probe", "corruption", "--dataset", "none"]) == 4
    assert given == [3, 7, 7]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "out.bin"), 1, "out.bin"),
        (PermissionError(errno.EACCES, "Permission denied", "out.bin"), 1, "out.bin"),
    ],
)
def test_foreseen_errors_become_one_message(
    rws: Rws, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("rwsstore.cli.store.open_store", fail)
    outcome = rws("store", "ls")
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.strip().startswith("error: ")
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_unforeseen_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("rwsstore.cli.store.open_store", fail)
    with pytest.raises(ZeroDivisionError):
        main(["store", "ls"])
