from pathlib import Path

from rwsstore.cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "use" / "cli.md"


def test_the_page_is_the_commands_own_help() -> None:
    assert PAGE.read_text() == reference(), "run: make docs"
