"""The quick starts and pages about the service, followed against a real one."""

import contextlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.test_readme import ROOT, blocks
from tests.service.box import ADMIN, Box


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with Box(tmp_path_factory.mktemp("box")) as box:
        yield box


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("photo.jpg", "a.jpg", "b.jpg", "road.jpg"):
        Image.radial_gradient("L").convert("RGB").save(tmp_path / name)
    (tmp_path / ".curlrc").write_text("silent\nshow-error\nfail\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def filled_in(text: str, box: Box) -> str:
    """What a reader puts in: where the service is, and its token."""
    for place in ("http://127.0.0.1:8000", "http://edge-box:8000"):
        text = text.replace(place, box.url)
    return text.replace("what-rws-serve-printed", ADMIN).replace("token=...", f'token="{ADMIN}"')


def follow(commands: str, box: Box, folder: Path) -> str:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("no curl here")
    environment = {**os.environ, "CURL_HOME": str(folder), "RWS_TOKEN": ADMIN}
    done = subprocess.run(
        ["bash", "-e", "-c", filled_in(commands, box)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documents(text: str) -> list[dict[str, object]]:
    """JSON documents one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def curls(page: Path) -> str:
    return "\n".join(block for block in blocks(page, "bash") if "curl" in block)


def test_the_readmes_rest_quick_start(box: Box, photographs: Path) -> None:
    applied, active, own, cleared = documents(follow(curls(ROOT / "README.md"), box, photographs))
    assert [one["patch"] for one in applied["patches"]] == ["fog"]  # type: ignore[attr-defined]
    assert active["state_digest"] == applied["state_digest"]
    assert active["generation"] == applied["generation"]
    assert own["generation"] is None
    assert cleared["patches"] == []


def run_program(program: str, box: Box) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(filled_in(program, box), "quick start", "exec"), {})
    return output.getvalue()


def test_the_readmes_sdk_quick_start(box: Box, photographs: Path) -> None:
    (program,) = [text for text in blocks(ROOT / "README.md", "python") if "Client" in text]
    names, label, labels = run_program(program, box).splitlines()
    assert names == "['fog']"
    assert label in labels or label.isalpha()


def test_the_operating_page(box: Box, photographs: Path) -> None:
    page = ROOT / "docs" / "operate" / "service.md"
    with Box(photographs / "fresh") as fresh:  # its commands count on generation 1
        follow(curls(page), fresh, photographs)
    (program,) = blocks(page, "python")
    assert len(run_program(program, box).strip()) == 64
