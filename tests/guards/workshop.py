"""A small model, its patches and a running service, for commands to be tried on."""

__all__ = ["Workshop", "workshop"]

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from tests.guards.faces import main
from tests.service.box import ADMIN, Box

_BUNDLE = """
version = 1
name = "digits"
corruptions = ["fog"]

[data]
name = "digits"
classes = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
validation = 100

[network]
width = 0.125

[training]
epochs = 1
batch_size = 64
flip = false

[averaging]
cycles = 1
learning_rate = 0.02

[extraction]
layers = 2
bits = 8
card_images = 20
alphas = [1.0]
training = { epochs = 1, batch_size = 64, flip = false }

[[deltas]]
recipe = "corruption_resistant"
name = "steady"
settings = { epsilon = 0.2 }
layers = "conv2"
bits = 4
alphas = [1.0]
card_images = 20
training = { epochs = 1, batch_size = 64, flip = false }

[measuring]
bits = [8]
hazard_images = 20
resamples = 50
"""
_MAKING = """
train --dataset digits --width 0.125 --epochs 3 --batch-size 16 --limit 320 --validation 40
      --no-flip --padding 2 --mode plain --out {folder}/clean.safetensors
extract --dataset digits --epochs 1 --batch-size 32 --limit 160 --validation 40 --no-flip
      --mode plain --corruptions fog,contrast --model {model} --store {store}
"""


@dataclass(frozen=True)
class Workshop:
    """Runs commands.

    Attributes:
        folder: holds clean.safetensors, clean.unfolded.safetensors, image.png, bundle.toml, store/
            and damaged/, a store of which a file is gone.
        url: of a service of the bundled model.
    """

    folder: Path
    url: str

    def json(self, script: str) -> Any:
        """Run some commands in an own folder, {new}, and read what the last one wrote."""
        new = self.folder / f"case{len(list(self.folder.iterdir()))}"
        new.mkdir()
        text = ""
        for command in script.strip().replace("\n      ", " ").splitlines():
            text = self._run([part.format_map(self._places(new)) for part in command.split()])
        return json.loads(text)

    def _places(self, new: Path) -> dict[str, object]:
        return {
            "folder": self.folder,
            "model": self.folder / "clean.safetensors",
            "store": self.folder / "store",
            "damaged": self.folder / "damaged",
            "new": new,
        }

    def _run(self, arguments: list[str]) -> str:
        if arguments[0] == "remote":
            arguments = [*arguments, "--url", self.url, "--token-file", f"{self.folder}/token"]
        own = {
            "XDG_CACHE_HOME": f"{self.folder}/cache",
            "RWS_STORE": f"{self.folder}/default_store",
        }
        written = io.StringIO()
        with mock.patch.dict(os.environ, own), contextlib.redirect_stdout(written):
            code = main(["--threads", "1", *arguments])
        # What was found wrong is told with code 1, and with a document.
        fine = code == 0 or (code == 1 and written.getvalue().startswith("{"))
        assert fine, f"rws {' '.join(arguments)}: {code}\n{written.getvalue()}"
        return written.getvalue()


@contextlib.contextmanager
def workshop(folder: Path) -> Iterator[Workshop]:
    """Make the model and its patches by the commands themselves, and start the service."""
    (folder / "bundle.toml").write_text(_BUNDLE)
    (folder / "token").write_text(ADMIN)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    with Box(folder / "box", {"RWS_COMPUTE": "float32"}) as box:
        made = Workshop(folder, box.url)
        made.json(_MAKING.strip() + "\nstore ls --store {store} --json")
        _damage(Path(shutil.copytree(folder / "store", folder / "damaged")))
        yield made


def _damage(store: Path) -> None:
    first, *_ = sorted(store.rglob("*.safetensors"))
    first.unlink()
