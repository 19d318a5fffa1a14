"""A tiny model behind a host, with patches that go on it and some that must not."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rwsstore.models import Classifier
from rwsstore.patches import Patch
from rwsstore.runtime import Edit, LiveModel
from rwsstore.store import Store
from rwsstore_service import Settings
from rwsstore_service.engine import finding as editing
from rwsstore_service.engine.finding import Choice
from rwsstore_service.engine.host import Active, Change, ModelHost
from rwsstore_service.engine.journal import Journal
from rwsstore_service.engine.records import PredictedImages
from tests.runtime.making import SIZE, bare_patch, pixels, with_golden
from tests.service.engine.shelf import OPS
from tests.training.tiny import classifier

IMAGES = pixels(3)


@cache
def model_of(seed: int = 0) -> Classifier:
    return classifier("vgg16", size=SIZE, folded=True, seed=seed)


@cache
def good_patches() -> tuple[Patch, ...]:
    """fog, rain and snow."""
    model = model_of()
    return tuple(
        with_golden(model, bare_patch(model, name, seed=seed, layers=1 + seed))
        for seed, name in enumerate(("fog", "rain", "snow"))
    )


@cache
def bad_patches() -> tuple[Patch, ...]:
    """Each is refused for a reason of its own, which is its name."""
    model, other = model_of(), model_of(1)
    honest = with_golden(model, bare_patch(model, "liar", seed=7))
    lying = with_golden(model, bare_patch(model, "liar", seed=8))
    assert honest.metadata.golden is not None
    assert honest.golden is not None
    wide = {"recommended": 1e-6, "maximum": 1e6}
    return (
        lying.with_evidence(card=None, golden=honest.golden, probe=honest.metadata.golden),
        with_golden(other, bare_patch(other, "foreign")),
        bare_patch(classifier("resnet18", size=SIZE, folded=True), "alien"),
        bare_patch(model, "overflowing", scale=1e33, bits=32, alpha=wide),
        bare_patch(model, "blinding", scale=1e16, layers=3, bits=32),
    )


def stock(folder: Path) -> Path:
    """Make a store with all of them."""
    store = Store(folder)
    for patch in (*good_patches(), *bad_patches()):
        store.publish(patch)
    return folder


@dataclass
class House:
    """A host and what stands around it; may be opened again as after a restart.

    Attributes:
        folder: of store and state.
        model: the clean model.
        settings: further ones.
        told: every new active patch set that the host told about.
    """

    folder: Path
    model: Classifier = field(default_factory=model_of)
    settings: Mapping[str, Any] = field(default_factory=dict)
    told: list[Active] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, stocked: Path) -> "House":
        shutil.copytree(stocked, folder / "store")
        return cls(folder).open()

    def open(self) -> "House":
        self.store = Store(self.folder / "store")
        self.journal = Journal(self.folder / "state")
        self.host = ModelHost(
            "tiny",
            self.model,
            self.store,
            self.journal,
            Settings.of(**self.settings),
            on_change=self.told.append,
        )
        self.host.start()
        return self

    def close(self) -> None:
        self.host.stop(30)
        self.journal.close()

    def again(self, **changed: Any) -> "House":
        """Restart it, with other settings or another model."""
        self.close()
        self.model = changed.pop("model", self.model)
        self.settings = {**self.settings, **changed}
        self.told = []
        return self.open()

    def want(self, **strengths: float) -> Active:
        """Replace the patch set."""
        return self.change(editing.replace(self.host.finder, choices(strengths)))

    def change(self, edit: Edit, **fields: Any) -> Active:
        return self.host.change(Change(OPS, "replace", edit, **fields))

    def predict(self, patchset: str = "active", images: Tensor = IMAGES) -> PredictedImages:
        async def ask() -> PredictedImages:
            return await self.host.predict(images, await self.host.choose(patchset))

        return asyncio.run(ask())

    def expected(self, images: Tensor = IMAGES, **strengths: float) -> Tensor:
        """Logits by the library alone."""
        return LiveModel(self.model, self.store).variant(strengths)(images)


def choices(strengths: Mapping[str, float]) -> list[Choice]:
    return [Choice(name, alpha) for name, alpha in strengths.items()]


def same(left: Tensor, right: Tensor) -> bool:
    return torch.equal(left.view(torch.int32), right.view(torch.int32))
