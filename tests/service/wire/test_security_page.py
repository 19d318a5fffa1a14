"""docs/operate/security.md says what is so."""

import re
import subprocess
import sys
from pathlib import Path

from rwsstore_service.settings import Settings
from rwsstore_service.wire.gate import Principal
from rwsstore_service.wire.problems import PROBLEMS
from rwsstore_service.wire.tokens import read_tokens
from tests.service.wire.asking import settings_of

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operate" / "security.md").read_text(encoding="utf-8")
# The SDK's own variable.
NOT_OURS = {"RWS_TOKEN"}


def test_every_variable_is_a_setting() -> None:
    known = {f"RWS_{name.upper()}" for name in Settings.model_fields} | NOT_OURS
    named = set(re.findall(r"RWS_[A-Z_]+", PAGE))
    assert named <= known
    assert len(named) > 20


def test_defaults_are_those_of_the_class() -> None:
    rows = re.findall(r"^\| `RWS_([A-Z_]+)` \| ([0-9]+)", PAGE, re.MULTILINE)
    assert len(rows) == 17
    for name, default in rows:
        assert float(default) == Settings.model_fields[name.lower()].default, name


def test_every_limit_and_deadline_is_there() -> None:
    limits = {
        name
        for name in Settings.model_fields
        if name.startswith(("max_", "rate_")) or name.endswith("_timeout")
    } - {"max_batch", "shutdown_timeout"}
    for name in limits:
        assert f"| `RWS_{name.upper()}` |" in PAGE


def test_every_problem_has_its_status() -> None:
    rows = re.findall(r"^\| ([0-9]{3}) \| `([a-z-]+)`", PAGE, re.MULTILINE)
    assert len(rows) == 13
    for status, name in rows:
        assert PROBLEMS[name].status == int(status)


def test_the_command_makes_a_token() -> None:
    found = re.search(r'^python -c "(.+)"$', PAGE, re.MULTILINE)
    assert found is not None
    made = subprocess.run(
        [sys.executable, "-c", found[1]], capture_output=True, text=True, check=True
    ).stdout.strip()
    tokens = read_tokens(settings_of(admin_tokens=f"operator:{made}"))
    assert tokens.identify(f"Bearer {made}") == Principal("operator", "admin")
