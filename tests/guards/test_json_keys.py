"""What `--json` writes has the same keys, command by command.

Each case is a few commands, of which the last one's document counts; a line that begins with
spaces goes on with the one above. `rws remote` asks a real service of the bundled model.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import pytest

from tests.guards.commands import commands
from tests.guards.frozen_files import read
from tests.guards.workshop import Workshop, workshop

_SHORT = """--dataset digits --batch-size 32 --limit 160 --validation 40 --no-flip --epochs 1
      --mode plain"""
_MINE = "--model {model} --store {store}"

CASES: Mapping[str, str] = MappingProxyType(
    {
        "demo": "demo --json",
        "train": f"""
train {_SHORT} --width 0.125 --out {{new}}/a.safetensors --json""",
        "train: adversarial": f"""
train {_SHORT} --recipe trades --width 0.125 --set steps=1 --set judged=20
      --out {{new}}/a.safetensors --json""",
        "extract": f"""
extract {_SHORT} --corruptions fog --model {{model}} --store {{new}} --json""",
        "extract: weight recipe": f"""
extract {_SHORT} --recipe corruption_resistant --set epsilon=0.2 --layers 2
      --card-images 20 --card-flips 4 --model {{model}} --store {{new}} --json""",
        "extract: clat": f"""
extract {_SHORT} --recipe clat --set steps=1 --set images=10 --set judged=20
      --set every_steps=2 --set k=2 --card-images 5 --card-budget 0.4
      --model {{model}} --store {{new}} --json""",
        "evaluate": f"""
evaluate --dataset digits --limit 40 {_MINE} --bits 8 --bits 4 --severity 3,5
      --rival {{folder}}/clean.unfolded.safetensors --json""",
        "evaluate: attacks": f"""
evaluate --dataset digits --limit 20 {_MINE} --attacks fgsm,pgd3 --epsilon 8/255
      --patch fog=0.5 --against {{folder}}/clean.unfolded.safetensors --json""",
        "compare": f"compare {_MINE} --json",
        "compare: gains": f"""
compare {_MINE} --dataset digits --limit 20 --corruptions fog,contrast --json""",
        "features": f"""
features {_MINE} --image {{folder}}/image.png --patch fog=0.5 --layers 1 --channels 2
      --corruption fog --out {{new}}/a.png --json""",
        "features: as it is": f"""
features {_MINE} --image {{folder}}/image.png --patch fog --layers 1 --channels 1
      --out {{new}}/a.png --json""",
        "probe corruption": """
probe corruption --model {model} --dataset digits --limit 20 --epsilon 0.05,0.5 --n 10,all
      --seeds 2 --json""",
        "probe corruption: by layer": """
probe corruption --model {model} --dataset digits --limit 20 --epsilon 0.5 --by layer --n 3
      --seeds 0 --layers 1 --json""",
        "probe bitflips": """
probe bitflips --model {model} --dataset digits --images 20 --sample 20 --bits exponent --json""",
        "probe bitflips: patch": f"""
probe bitflips {_MINE} --patch fog=0.5 --dataset digits --images 20 --sample 20 --json""",
        "probe filtering": """
probe filtering --model {model} --dataset digits --limit 20 --thresholds 5 --layers 1
      --filters h2,h1 --resamples 100 --json""",
        "probe criticality": """
probe criticality --model {model} --dataset digits --steps 2 --limit 40 --json""",
        "probe criticality: stability": """
probe criticality --model {model} --dataset digits --steps 2 --limit 60 --stability
      --batches 10,30 --draws 2 --json""",
        "card": """
train --dataset digits --width 0.125 --epochs 1 --limit 40 --validation 10 --mode plain
      --out {new}/a.safetensors
card {new}/a.safetensors --dataset digits --store {store} --limit 20 --json""",
        "bundle": """
bundle --config {folder}/bundle.toml --dataset digits --out {new}/out --work {new}/work --json""",
        "corrupt": """
corrupt --dataset digits --limit 20 --corruptions fog,frost --out {new}/c --json""",
        "corrupt: image folder": """
corrupt --dataset digits --limit 20 --corruptions saturate --layout imagefolder
      --severities 1.5,4 --out {new}/c --json""",
        "corrupt: gallery": """
corrupt --gallery {folder}/image.png --corruptions fog,frost --severities 1,5
      --out {new}/a.png --json""",
        "apply": f"""
apply {_MINE} --patch fog=0.6 --patch contrast --out {{new}}/a.safetensors --json""",
        "compose": "compose dusk fog=0.6,gaussian_blur=0.4 --json",
        "inspect: model": "inspect {model} --json",
        "inspect: patch": "inspect fog --store {store} --json",
        "inspect: composed patch": """
compose evening fog=0.6,gaussian_blur=0.4
inspect evening --json""",
        "store fsck": "store fsck --store {store} --json",
        "store fsck: damaged": "store fsck --store {damaged} --json",
        "store gc": "store gc --dry-run --store {store} --json",
        "store ls": "store ls --store {store} --json",
        "store ls: bundled": "store ls --store bundled --json",
        "store show": "store show fog --store {store} --json",
        "store verify": "store verify fog --store {store} --json",
        "bench": f"bench --seconds 1 {_MINE} --json",
        "remote apply": "remote apply fog --alpha 0.8 --json",
        "remote audit": """
remote apply fog
remote audit --json""",
        "remote clear": "remote clear --json",
        "remote compose": "remote compose night fog=0.6,snow --json",
        "remote history": """
remote apply fog
remote rollback 1
remote history --json""",
        "remote patches": """
remote compose evening fog=0.6,snow
remote patches --json""",
        "remote patchset": """
remote set fog=0.6,snow
remote patchset --json""",
        "remote predict": """
remote predict {folder}/image.png --top-k 2 --patchset fog=0.5 --json""",
        "remote pull": "remote pull fog --store {new} --json",
        "remote push": "remote push fog --store bundled --json",
        "remote remove": """
remote set fog,snow
remote remove snow --json""",
        "remote rollback": """
remote apply fog
remote rollback 1 --json""",
        "remote scale": """
remote apply fog
remote scale fog --alpha 0.5 --json""",
        "remote set": "remote set fog=0.6,snow --json",
        "remote show": "remote show fog --json",
        "remote status": """
remote set fog
remote status --json""",
        "remote verify": "remote verify --json",
    }
)
_SLOW = frozenset({"demo"})


def surface() -> dict[str, list[str]]:
    """The paths of keys in each document; [] stands for each item of a list."""
    with TemporaryDirectory() as folder, workshop(Path(folder)) as made:
        return {case: key_paths(made.json(script)) for case, script in CASES.items()}


def key_paths(document: Any) -> list[str]:
    """Every path of keys in a document, once."""
    return sorted(set(_paths(document, "")))


def _paths(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            below = f"{path}.{key}".removeprefix(".")
            yield below
            yield from _paths(value, below)
    elif isinstance(node, list):
        for item in node:
            yield from _paths(item, f"{path}[]")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workshop(tmp_path_factory.mktemp("workshop")) as made:
        yield made


@pytest.fixture(scope="module")
def told(shop: Workshop) -> Callable[[str], Any]:
    """What a case writes; it runs once."""
    return cache(lambda case: shop.json(CASES[case]))


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow) if case in _SLOW else case for case in CASES],
)
def test_the_keys_are_what_they_were(told: Callable[[str], Any], case: str) -> None:
    assert key_paths(told(case)) == read("json_keys")[case]


@pytest.mark.slow
def test_the_demo_recovers_most_of_the_gap(told: Callable[[str], Any]) -> None:
    # Here, because the demo runs for most of a minute and this file has run it.
    report = told("demo")
    assert report["removal_exact"] is True
    assert len(report["corruptions"]) == 4
    assert report["clean_accuracy"] > 95
    assert report["gap_recovered"] > 0.7
    service = report["service"]
    assert service["without"]["label"] != service["truth"] == service["patched"]["label"]
    assert service["removal_exact"] is True


def test_every_command_that_writes_json_has_a_case() -> None:
    writing = {
        path
        for path, command in commands().items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert writing == {case.partition(":")[0] for case in CASES}
    assert set(CASES) == set(read("json_keys"))


def test_paths_go_into_lists() -> None:
    assert key_paths({"rows": [{"a": 1}, {"b": [[{"c": 0}]]}]}) == [
        "rows", "rows[].a", "rows[].b", "rows[].b[][].c",
    ]  # fmt: skip
