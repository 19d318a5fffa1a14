"""The SDK is a distribution of its own: httpx and pydantic, nothing of the rest."""

import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

import rwsstore_client
from rwsstore_client import contract
from rwsstore_service.api import patchset

PROJECT = Path(__file__).parents[2] / "clients" / "python"

# Imports the SDK where nothing but its own requirements can be imported, and uses it.
ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {allowed!r} | sys.stdlib_module_names or top.startswith("_sysconfigdata"):
            return None
        raise ModuleNotFoundError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
sys.path.insert(0, {place!r})
import rwsstore_client.contract
assert rwsstore_client.PatchSet is rwsstore_client.contract.PatchSet
assert not {{"httpx", "torch"}} & sys.modules.keys()
assert rwsstore_client.__file__.startswith({place!r}), rwsstore_client.__file__
import httpx

def answer(request):
    image = {{"top": [{{"label": "ship", "index": 8, "probability": 0.5}}]}}
    timing = {{"queued_ms": 1, "decode_ms": 1, "compute_ms": 1}}
    return httpx.Response(200, json={{
        "model": "bundled", "patches": [], "state_digest": "d", "generation": 1,
        "predictions": [image], "timing": timing}})

with rwsstore_client.Client(transport=httpx.MockTransport(answer)) as rws:
    assert rws.model().predict(b"x").top1.label == "ship"
for name in ("torch", "rwsstore", "numpy", "PIL"):
    assert name not in sys.modules
print("alone")
"""


def closure(names: set[str]) -> set[str]:
    """What these distributions need, transitively, extras left out."""
    found: set[str] = set()
    while names - found:
        name = (names - found).pop()
        found.add(name)
        needed = [Requirement(text) for text in requires(name) or []]
        names |= {
            one.name.lower()
            for one in needed
            if one.marker is None or one.marker.evaluate({"extra": ""})
        }
    return {name.replace("-", "_") for name in found}


def run_alone(place: Path) -> None:
    allowed = closure({"httpx", "pydantic"}) | {"rwsstore_client"}
    program = ALONE.format(place=str(place), allowed=allowed)
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", program], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("alone\n", "")


def test_it_needs_httpx_and_pydantic_and_nothing_else() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert {Requirement(text).name for text in project["dependencies"]} == {"httpx", "pydantic"}
    assert project["version"] == rwsstore_client.__version__


def test_the_service_answers_with_its_contract() -> None:
    # That it loads no httpx for it: tests/test_layout.py.
    assert patchset.patchset_answer.__annotations__["return"] is contract.PatchSet


def test_it_is_imported_alone() -> None:
    run_alone(PROJECT)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of both distributions, by their names."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    alone = ["--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    projects = [str(PROJECT.parents[1]), str(PROJECT)]
    subprocess.run([*pip, *alone, *projects], check=True, capture_output=True)
    return {path.name.partition("-")[0]: path for path in folder.iterdir()}


def install(target: Path, *wheels: Path) -> None:
    """Unpack wheels, which is all that installing does with those that have Python alone."""
    for wheel in wheels:
        assert wheel.name.endswith("-py3-none-any.whl")
        with ZipFile(wheel) as file:
            file.extractall(target)


@pytest.mark.slow
def test_the_service_is_installed_with_its_contract(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    install(tmp_path, wheels["rwsstore"], wheels["rwsstore_client"])
    program = "from rwsstore_service.api import patchset; print(patchset.contract.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == f"{tmp_path / 'rwsstore_client' / 'contract.py'}\n"


@pytest.mark.slow
def test_it_is_installed_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    install(tmp_path, wheels["rwsstore_client"])
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"rwsstore_client", "rwsstore_client-0.1.0.dist-info"}
    assert (tmp_path / "rwsstore_client" / "py.typed").is_file()
    run_alone(tmp_path)
