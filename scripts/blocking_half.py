"""Makes the blocking half of the Python SDK of the asynchronous one, which is the one to edit.

    python scripts/blocking_half.py

writes clients/python/rwsstore_client/_sync; a test compares it with what this makes.
"""

import re
import subprocess
import sys
from pathlib import Path

SDK = Path(__file__).parents[1] / "clients" / "python" / "rwsstore_client"

_CHANGES = (
    (r"await asyncio\.to_thread\(([\w.]+), ", r"\1("),
    (r"\bAwaitable\[None\]", "None"),
    (r"\basync (?=def|with)", ""),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b_async\b", "_sync"),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\basyncio\b", "time"),  # sleep
)


def blocking_half() -> dict[str, str]:
    """The text of each module, by its name."""
    return {file.name: _blocking(file) for file in sorted((SDK / "_async").glob("*.py"))}


def _blocking(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    for pattern, instead in _CHANGES:
        text = re.sub(pattern, instead, text)
    head = f"# Generated from _async/{file.name} by scripts/blocking_half.py\n"
    tidied = _ruff("check", "--fix", "--quiet", "--select=F401,I", text=head + text)
    return _ruff("format", text=tidied)


def _ruff(*arguments: str, text: str) -> str:
    command = [
        sys.executable,
        "-m",
        "ruff",
        *arguments,
        f"--stdin-filename={SDK / '_sync' / 'x.py'}",
    ]
    done = subprocess.run([*command, "-"], input=text, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    for name, text in blocking_half().items():
        (SDK / "_sync" / name).write_text(text, encoding="utf-8")
