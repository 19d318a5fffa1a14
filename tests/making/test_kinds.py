"""A kind of patch is made where it has a row; a file of a kind without one is used all the same."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from rwsstore.cli.main import cli
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.making import KINDS, Hazard, patch_kind, publish_delta
from rwsstore.measure import accuracy
from rwsstore.patches import Patch
from rwsstore.runtime import LiveModel
from rwsstore.store import Store
from rwsstore.training import WeightRecipe
from tests.making.tiny import TRAIN, VALIDATION, clean_model, options


class Dusk(WeightRecipe):
    """Training on darker images."""

    name = "dusk"
    kind: ClassVar[str] = "darkness"

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:
        return images // 2


def darkness(recipe: Any, wanted: Any) -> Hazard:
    def on(images: ImageSet, seed: int) -> Any:
        return lambda model: accuracy(model, images.images // 2, images.labels)

    return Hazard(on, attack="darkness", budget=0.5)


@pytest.fixture
def patch(store: Store, monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Published, and its kind's row is gone."""
    with monkeypatch.context() as patched:
        patched.setattr("rwsstore.making.hazards.KINDS", dict(KINDS))
        patch_kind("darkness")(darkness)
        with pytest.raises(ConfigError, match="there is a kind of patch 'darkness' already"):
            patch_kind("darkness")
        recipe = Dusk.configured({})
        made = publish_delta(clean_model(), recipe, TRAIN, VALIDATION, options(), store)
        assert made.extracted
        assert not publish_delta(
            clean_model(), recipe, TRAIN, VALIDATION, options(), store
        ).extracted
    return made.patch


def test_making_one_needs_a_row_that_says_the_difference_and_the_hazard(
    store: Store, patch: Patch
) -> None:
    found = patch.metadata
    assert (found.kind, found.attack, found.budget) == ("darkness", "darkness", 0.5)
    assert found.card is not None
    with pytest.raises(ConfigError, match=r"kind darkness, and no hazard is known .* rws, "):
        publish_delta(clean_model(), Dusk.configured({}), TRAIN, VALIDATION, options(bits=4), store)


def test_a_file_of_a_kind_without_a_row_is_read_listed_and_shown(
    store: Store, patch: Patch, tmp_path: Path
) -> None:
    assert Patch.from_bytes(patch.to_bytes()).metadata == patch.metadata
    assert store.fsck().clean
    assert [entry.name for entry in store.list(kind="darkness")] == ["dusk"]
    (tmp_path / "dusk.safetensors").write_bytes(patch.to_bytes())
    for command in (["store", "ls"], ["store", "show", "dusk"], ["inspect", "dusk"]):
        outcome = CliRunner().invoke(cli, ["--threads", "1", *command, "--store", str(store.root)])
        assert (outcome.exit_code, "darkness" in outcome.output) == (0, True), outcome.output
    outcome = CliRunner().invoke(
        cli, ["--threads", "1", "inspect", str(tmp_path / "dusk.safetensors"), "--json"]
    )
    assert '"kind": "darkness"' in outcome.output


def test_it_is_applied_and_taken_off(store: Store, patch: Patch) -> None:
    clean: nn.Module = clean_model()
    live = LiveModel(clean, store)
    assert live.apply("dusk").patched == tuple(sorted(patch.tensors))
    assert not torch.equal(live.variant({"dusk": None})(TRAIN.images), clean(TRAIN.images))
    live.clear()
    assert all(
        torch.equal(tensor, clean.state_dict()[name])
        for name, tensor in live.variant({}).state().items()
    )
