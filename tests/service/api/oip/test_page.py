"""What docs/operate/open-inference.md tells a reader to do is done here, as written."""

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PAGE = Path(__file__).parents[4] / "docs" / "operate" / "open-inference.md"


def block(language: str, service_url: str) -> str:
    """Take the one block of a language, for this service."""
    (found,) = re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    return str(found).replace("localhost:8000", urlsplit(service_url).netloc)


def test_the_pages_python(service_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block("python", service_url), PAGE.name, "exec"), {})
    assert re.search(r"\[b?'\w+' b?'\w+'\] [0-9a-f]{64}", capsys.readouterr().out)


def test_the_pages_commands(service_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-ec", block("sh", service_url)], cwd=tmp_path, capture_output=True, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["parameters"]["patchset"] == "fog=0.6"
    assert [output["name"] for output in answer["outputs"]] == ["logits", "labels"]
