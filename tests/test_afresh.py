"""A process of its own, with other hashes, finds the same; and loads no more than it needs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rwsstore.models import weights_fingerprint
from tests.afresh import PACKAGES, corrupted_digest
from tests.patches.factory import make_test_patch


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    picture = tmp_path_factory.mktemp("afresh") / "report.png"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.afresh", str(picture)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_us_imports_neither_torchvision_nor_matplotlib(
    package: str, found: dict[str, Any]
) -> None:
    assert found["after_imports"][package] == []


def test_corruptions_do_not_import_torchvision(found: dict[str, Any]) -> None:
    assert found["after_corrupting"] == []


def test_drawing_leaves_pyplot_alone(found: dict[str, Any]) -> None:
    assert found["after_drawing"] == ["matplotlib"]


def test_fingerprints_are_the_same(found: dict[str, Any]) -> None:
    state = {name: torch.arange(3.0) for name in ("u", "v", "w")}
    assert found["fingerprint"] == weights_fingerprint(state)


def test_digests_of_patches_are_the_same(found: dict[str, Any]) -> None:
    assert found["patch_digest"] == make_test_patch(dataset="é").digest


def test_corrupted_images_are_the_same(found: dict[str, Any]) -> None:
    assert found["corrupted_digest"] == corrupted_digest()
