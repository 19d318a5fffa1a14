"""Which layers CLAT trains when, and that nothing else moves, interrupted or not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rwsstore.probes import criticality as module
from rwsstore.probes.criticality.measuring import Criticality
from rwsstore.progress import SILENT, Reporter
from rwsstore.training import ClatRecipe, TrainingConfig, fit
from rwsstore.training.config import TrainingResult
from tests.training.robust import CONVOLUTIONS, TRAIN, VALIDATION, residual
from tests.training.test_resume import Interrupting
from tests.training.tiny import changed, config, same

STEPS = 3
"""An epoch."""


def clat(**settings: Any) -> ClatRecipe:
    return ClatRecipe.configured({"images": 12, "steps": 2, "judged": 0, **settings})


def run(
    recipe: ClatRecipe,
    epochs: int = 4,
    *,
    model: nn.Module | None = None,
    state_file: Path | None = None,
    progress: Reporter = SILENT,
    settings: TrainingConfig | None = None,
) -> TrainingResult:
    return fit(
        model or residual(), recipe, TRAIN, VALIDATION, settings or config(epochs),
        state_file=state_file, progress=progress,
    )  # fmt: skip


def steps(recipe: ClatRecipe) -> list[int]:
    return [one.step for one in recipe.selections]


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Make each layer the most critical one in its turn; says on which models it was measured."""
    measured = list[nn.Module]()

    def scripted(model: nn.Module, *_: Any, **_options: Any) -> Criticality:
        assert not any(each.training for each in model.modules())
        turn = len(measured) % 3
        measured.append(model)
        indices = tuple(float((place - turn) % 3 == 0) for place in range(3))
        return Criticality(CONVOLUTIONS, indices, indices, 12)

    monkeypatch.setattr(module, "measure_criticality", scripted)
    return measured


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"every": 1}, [0, 3, 6, 9]),
        ({"every": 2}, [0, 6]),
        ({"every": 3}, [0, 9]),
        ({}, [0]),
        ({"every": None}, [0]),
        ({"every": 1, "every_steps": 4}, [0, 4, 8]),
        ({"every": None, "every_steps": 5}, [0, 5, 10]),
        ({"every_steps": 1}, list(range(12))),
        ({"every_steps": 99}, [0]),
        ({"every_steps": 6}, [0, 6]),
    ],
)
def test_selected_again_in_intervals(
    in_turn: list[nn.Module], settings: dict[str, Any], expected: list[int]
) -> None:
    recipe = clat(k=1, **settings)
    run(recipe)
    assert steps(recipe) == expected
    assert len(in_turn) == len(expected)
    turns = [CONVOLUTIONS[turn % 3] for turn in range(len(expected))]
    assert [one.layers for one in recipe.selections] == [(layer,) for layer in turns]


class Watching(ClatRecipe):
    """Notes the weights before every step."""

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.seen = list[dict[str, Tensor]]()

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        self.seen.append({name: t.clone() for name, t in model.state_dict().items()})
        assert model.training
        wanting = {name for name, p in model.named_parameters() if p.requires_grad}
        assert wanting == self.active(model)
        return super().loss(model, images, labels, smoothing)


@pytest.mark.usefixtures("in_turn")
@pytest.mark.parametrize("settings", [{"every": 1}, {"every_steps": 2}], ids=str)
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_in_each_step_the_selected_layer_moves_and_nothing_else(
    settings: dict[str, Any], optimizer: str
) -> None:
    model = residual(batch_norm=True)
    recipe = Watching(clat(k=1, **settings).settings)
    schedule = config(4, optimizer=optimizer, weight_decay=0.1, momentum=0.9, learning_rate=0.01)
    run(recipe, model=model, settings=schedule)
    chosen = {one.step: one.layers for one in recipe.selections}
    layers: tuple[str, ...] = ()
    for step, (before, after) in enumerate(zip(recipe.seen, recipe.seen[1:], strict=False)):
        layers = chosen.get(step, layers)
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        owned = {name for name in before if name.rpartition(".")[0] in layers}
        assert moved == owned, step
    assert len(set(chosen.values())) == 3


@pytest.mark.usefixtures("in_turn")
def test_what_the_kept_epoch_has_are_the_layers_selected_up_to_it() -> None:
    model, recipe = residual(), clat(k=1, every=1, strength=0.5)
    result = run(recipe, model=model)
    kept = result.best.epoch
    layers = {one.layers[0] for one in recipe.selections if one.step < kept * STEPS}
    assert changed(model, result.model) == {f"{x}.{k}" for x in layers for k in ("weight", "bias")}
    # The whole run has selected more than that; otherwise this says nothing.
    assert len(layers) < 3


@pytest.mark.usefixtures("in_turn")
def test_shares_and_their_mean_by_hand() -> None:
    recipe = clat(k=1, every=None, every_steps=5)
    assert recipe.remarks() == ()
    assert recipe.mean_share == 0
    run(recipe)
    sizes = [6 * 27 + 6, 8 * 54 + 8, 8 * 72 + 8]
    total = sum(sizes) + 6 * 8 + 8 + 8 * 3 + 3
    assert [one.share for one in recipe.selections] == [size / total for size in sizes]
    mean = (5 * sizes[0] + 5 * sizes[1] + 2 * sizes[2]) / (12 * total)
    assert recipe.mean_share == pytest.approx(mean)
    assert recipe.remarks() == (
        f"from step 0: stem ({sizes[0] / total:.1%} of all parameters)",
        f"from step 5: first ({sizes[1] / total:.1%} of all parameters)",
        f"from step 10: second ({sizes[2] / total:.1%} of all parameters)",
        f"trained in the mean: {mean:.1%} of all parameters",
    )


def test_random_layers_are_drawn_by_seed_and_anew_each_time() -> None:
    drawn = []
    for seed in (0, 0, 1):
        recipe = clat(k=2, select="random", every_steps=1)
        run(recipe, 3, settings=config(3, seed=seed))
        drawn.append([one.layers for one in recipe.selections])
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) > 1
    assert all(len(set(layers)) == 2 and set(layers) <= set(CONVOLUTIONS) for layers in drawn[0])
    assert {layer for layers in drawn[0] for layer in layers} == set(CONVOLUTIONS)


def test_random_selection_measures_nothing(in_turn: list[nn.Module]) -> None:
    run(clat(select="random", every=1))
    assert not in_turn


SETTINGS: list[dict[str, Any]] = [
    {"every": 2},
    {"every": None},
    {"every_steps": 4},
    {"every_steps": 2, "select": "random"},
    {"every": 1, "fast": True, "inner": "loss", "perturbed": 0.5, "judged": 4},
]


@pytest.mark.parametrize(
    ("settings", "after"),
    [
        *((settings, STEPS + 1) for settings in SETTINGS),
        ({"every": 2}, STEPS),
        ({"every_steps": 4}, 2 * STEPS + 2),
    ],
    ids=str,
)
def test_an_interrupted_run_goes_on_to_the_same_end(
    tmp_path: Path, after: int, settings: dict[str, Any]
) -> None:
    whole, resumed = clat(k=1, **settings), clat(k=1, **settings)
    expected = run(whole)
    path = tmp_path / "run.state"
    with pytest.raises(KeyboardInterrupt):
        run(clat(k=1, **settings), state_file=path, progress=Interrupting(after))
    found = run(resumed, state_file=path)
    assert same(found.model, expected.model)
    assert found.history == expected.history
    assert resumed.selections == whole.selections
    assert resumed.remarks() == whole.remarks()


def test_a_finished_run_still_tells_what_was_selected(tmp_path: Path) -> None:
    first, again = clat(every=1), clat(every=1)
    path = tmp_path / "run.state"
    run(first, state_file=path)
    run(again, state_file=path)
    assert again.remarks() == first.remarks() != ()


@pytest.mark.parametrize("settings", [{"every": None}, {"every_steps": 5}], ids=str)
def test_another_run_with_the_same_recipe_begins_anew(settings: dict[str, Any]) -> None:
    used, fresh = (clat(k=1, select="random", **settings) for _ in range(2))
    run(used, settings=config(1, seed=2))
    before = used.selections[0].layers
    second, expected = run(used), run(fresh)
    assert same(second.model, expected.model)
    assert used.selections == fresh.selections
    assert used.selections[0].layers != before


def test_the_terms_are_means_over_the_images_of_an_epoch() -> None:
    recipe = clat(strength=0.2)
    result = run(recipe, settings=config(2, batch_size=10))
    for record in result.history:
        whole = record.terms["cross_entropy"] + 0.2 * record.terms["features"]
        assert record.loss == pytest.approx(whole, rel=1e-5)
        assert record.terms["features"] > 0
