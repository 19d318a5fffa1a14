"""What docs/use/extending.md adds from outside the package is added so, by one file, and used."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forks

PAGE = (Path(__file__).parents[2] / "docs" / "use" / "extending.md").read_text("utf-8")
SECTIONS = {
    section.splitlines()[0]: section for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}
_RWS = 'rws() { "$PYTHON" -S -E "$FORKS" "$@"; }\n'


@pytest.mark.parametrize("title", SECTIONS)
def test_one_file_is_enough(title: str, tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", SECTIONS[title], re.DOTALL | re.MULTILINE)
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", SECTIONS[title], re.DOTALL | re.MULTILINE)
    named = re.match(r"# (\w+\.py)\n", program)
    assert named is not None, "the first line says the file's name"
    (tmp_path / named.group(1)).write_text(program)
    done = subprocess.run(
        ["bash", "-e", "-c", _RWS + commands],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "FORKS": forks.__file__,
            "RWS_FORKS": forks.server().place,
            "RWS_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
