"""What docs/understand/architecture.md says of others' private parts."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
OURS = ("rwsstore", "rwsstore_service", "rwsstore_client")
SECTION = (
    (ROOT / "docs" / "understand" / "architecture.md")
    .read_text(encoding="utf-8")
    .partition("private parts\n")[2]
    .partition("\n## ")[0]
)
ROWS = re.findall(r"^\| ([a-z0-9-]+) \| ([0-9.]+) \| (.*) \|$", SECTION, re.MULTILINE)


def requirements() -> dict[str, Requirement]:
    """What the library and its extra `service` need, by name."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["service"]]
    return {one.name: one for one in map(Requirement, needed)}


def private_imports() -> Iterator[tuple[str, str]]:
    """Distribution and dotted name of every private name of others that is imported."""
    folders = ("rwsstore", "service", "clients/python")
    for file in [path for folder in folders for path in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                whose, _, rest = name.partition(".")
                if whose not in OURS and re.search(r"(^|\.)_[a-z]", rest, re.IGNORECASE):
                    yield whose, rest


def test_there_are_some() -> None:
    assert {name for name, _, _ in ROWS} >= {"torch", "starlette", "fastapi", "uvicorn"}


@pytest.mark.parametrize(("name", "tried"), [row[:2] for row in ROWS])
def test_it_is_bounded_from_both_sides_around_what_was_tried(name: str, tried: str) -> None:
    bounds = requirements()[name].specifier
    operators = {bound.operator for bound in bounds}
    assert operators == {"=="} or operators == {">=", "<"}
    assert Version(tried) in bounds
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"{name}=={tried}" in constraints


def test_no_other_private_name_is_imported() -> None:
    listed = {name: text for name, _, text in ROWS}
    unknown = [
        (whose, name)
        for whose, name in private_imports()
        if not any(part in listed.get(whose, "") for part in (name, name.rpartition(".")[0]))
    ]
    assert unknown == []
