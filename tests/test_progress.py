import io

import pytest
from rich.console import Console

from rwsstore.progress import SILENT, ConsoleReporter, Reporter


def work(reporter: Reporter) -> None:
    with reporter.task("counting sheep", total=3) as task:
        task.advance()
        task.advance(2, note="all asleep")


def test_the_silent_reporter_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    work(SILENT)
    assert capfd.readouterr() == ("", "")


def test_the_console_reporter_draws_on_the_console_given(
    capfd: pytest.CaptureFixture[str],
) -> None:
    drawn = io.StringIO()
    work(ConsoleReporter(Console(file=drawn, width=120)))
    assert "counting sheep" in drawn.getvalue()
    assert "3/3" in drawn.getvalue()
    assert "all asleep" in drawn.getvalue()
    assert capfd.readouterr() == ("", "")


def test_by_default_it_draws_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    work(ConsoleReporter())
    out, err = capsys.readouterr()
    assert out == ""
    assert "counting sheep" in err


def test_an_empty_note_keeps_the_last_one() -> None:
    drawn = io.StringIO()
    with ConsoleReporter(Console(file=drawn, width=120)).task("work", total=2) as task:
        task.advance(note="halfway")
        task.advance()
    assert "halfway" in drawn.getvalue()


def test_an_error_passes_through_and_the_bar_closes() -> None:
    drawn = io.StringIO()
    reporter = ConsoleReporter(Console(file=drawn, width=120))
    with pytest.raises(ZeroDivisionError), reporter.task("dividing", total=2) as task:
        task.advance(1 // 0)
    work(reporter)  # a second bar would be refused while the first is still drawn
    assert "counting sheep" in drawn.getvalue()
