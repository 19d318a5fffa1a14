"""Accuracy with each of many bits flipped."""

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn

from rwsstore.data import ImageSet
from rwsstore.files import Results
from rwsstore.probes.bitflips import (
    Memory,
    Sites,
    StoredPatch,
    StoredWeights,
    Survey,
    layer_sites,
    sample_sites,
    survey,
    surveying,
)
from rwsstore.probes.bitflips.memory import changed
from tests.probes.bitflips.making import NETWORKS, UNLIKE, centred, images, sites, vgg
from tests.runtime.making import bare_patch
from tests.training.tiny import same


def by_hand(memory: Memory, shown: ImageSet, chosen: Sites) -> tuple[list[int], list[int]]:
    """Images right and images with logits that are not finite, one flip after the other."""
    right, broken = [], []
    for row in zip(chosen.array.tolist(), chosen.index.tolist(), chosen.bit.tolist(), strict=True):
        with changed(memory.model, memory.change(*row)), torch.no_grad():
            logits = memory.model(shown.images.float() / 255)
        finite = [all(map(torch.isfinite, image)) for image in logits]
        hits = logits.argmax(1) == shown.labels
        right.append(sum(bool(hit) and ok for hit, ok in zip(hits, finite, strict=True)))
        broken.append(finite.count(False))
    return right, broken


@pytest.mark.parametrize(
    "store",
    [
        StoredWeights,
        lambda model: StoredWeights(model, "float16"),
        lambda model: StoredWeights(model, "bfloat16"),
        lambda model: StoredPatch(model, bare_patch(model, layers=2)),
    ],
    ids=["float32", "float16", "bfloat16", "patch"],
)
def test_each_flip_counts_as_it_does_by_hand(store: Callable[[nn.Module], Memory]) -> None:
    memory = store(centred(vgg()))
    shown = images(memory.model)
    chosen = sample_sites(memory, 20, bits="top" if isinstance(memory, StoredWeights) else "all")
    expected = by_hand(memory, shown, chosen)
    for options in ({}, {"batch_size": 4}, {"replay": False}):
        found = survey(memory, shown, chosen, **options)
        assert (found.right.tolist(), found.broken.tolist()) == expected
        assert (found.clean_right, found.images, found.classes) == (5, 6, 3)
    assert len(set(expected[0])) > (1 if isinstance(memory, StoredWeights) else 0)


@pytest.mark.parametrize("name", UNLIKE)
def test_the_naive_way_counts_the_same(name: str) -> None:
    memory = StoredWeights(centred(NETWORKS[name]()))
    shown = images(memory.model)
    chosen = sample_sites(memory, 20, bits="top", seed=2)
    fast, naive = (survey(memory, shown, chosen, replay=replay) for replay in (True, False))
    assert torch.equal(fast.right, naive.right)
    assert torch.equal(fast.broken, naive.broken)


class Known(nn.Module):
    """Logits are the mean colours times a weight each; red, green and blue images are easy."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, 1.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) * self.weight


def colours(counts: tuple[int, int, int]) -> ImageSet:
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    pixels = torch.full((len(labels), 3, 4, 4), 10, dtype=torch.uint8)
    pixels[torch.arange(len(labels)), labels] = 250
    return ImageSet(pixels, labels, ("red", "green", "blue"), "colours")


def known(*flips: tuple[int, int, int], counts: tuple[int, int, int] = (2, 4, 4)) -> Survey:
    return survey(StoredWeights(Known().eval()), colours(counts), sites(*flips))


def test_drops_of_a_network_that_anybody_can_calculate() -> None:
    # Red's weight times 2^128 wins every image; green's sign flipped loses green's; blue's weight
    # to infinity breaks every image.
    found = known((0, 0, 30), (0, 1, 31), (0, 2, 30), (0, 0, 0))
    assert found.clean_accuracy == 100.0
    assert found.right.tolist() == [2, 6, 0, 10]
    assert found.broken.tolist() == [0, 0, 10, 0]
    assert found.rad.tolist() == pytest.approx([0.8, 0.4, 1.0, 0.0])
    adjusted = [8 / 10 * 3 / 2, 4 / 10 * 3 / 2, 1.0, 0.0]
    assert found.adjusted.tolist() == pytest.approx([min(1.0, drop) for drop in adjusted])
    assert found.rad.dtype == found.adjusted.dtype == torch.float64


def test_a_flip_that_helps_has_a_drop_below_zero() -> None:
    model = Known().eval()
    with torch.no_grad():
        model.weight[1] = 1 / 128  # green loses to the grey of the other two
    memory = StoredWeights(model)
    found = survey(memory, colours((4, 2, 4)), sites((0, 1, 25), (0, 0, 0)))
    assert found.clean_right == 8
    assert found.right.tolist() == [10, 8]
    assert found.rad.tolist() == [-0.25, 0.0]
    assert found.adjusted[0] == pytest.approx(-2 / (8 - 10 / 3))


def test_nan_never_counts_as_right() -> None:
    # The first class is what argmax makes of NaN everywhere.
    model = Known().eval()
    with torch.no_grad():
        model.weight[0] = 1.5  # its top bit flipped makes it NaN
    found = survey(StoredWeights(model), colours((6, 2, 2)), sites((0, 0, 30)))
    assert (found.right.tolist(), found.broken.tolist()) == ([0], [10])


@pytest.mark.parametrize("name", UNLIKE)
def test_model_and_memory_are_left_as_they_were(name: str) -> None:
    model = NETWORKS[name]()
    other = NETWORKS[name]()
    first = next(model.parameters())
    first.grad = torch.full_like(first, 2.0)
    hooks = [len(module._forward_hooks) for module in model.modules()]
    memory = StoredWeights(model)
    shown = images(model)
    state = torch.random.get_rng_state()
    survey(memory, shown, sample_sites(memory, 20, bits="top"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same(model, other)
    assert same(memory.model, other)
    assert bool((first.grad == 2.0).all())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    assert [len(module._forward_hooks) for module in model.modules()] == hooks


def test_a_whole_layer_is_surveyed() -> None:
    memory = StoredWeights(Known().eval())
    (layer,) = {row.layer for row in memory.arrays}
    found = survey(memory, colours((2, 4, 4)), layer_sites(memory, layer))
    assert len(found.right) == 96
    assert int((found.broken > 0).sum()) == 2  # 1.0 has one bit that makes it infinite


class StopError(Exception):
    """What interrupts a survey."""


def test_an_interrupted_survey_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "_CHUNK", 3)
    memory = StoredWeights(centred(vgg()))
    shown = images(memory.model)
    chosen = sample_sites(memory, 12, bits="top")
    expected = survey(memory, shown, chosen)
    path = tmp_path / "kept.json"

    class Failing(Results):
        def value(self, key: str, measure: Callable[[], object]) -> object:
            if len(self) == 2:
                raise StopError
            return super().value(key, measure)

    with pytest.raises(StopError):
        survey(memory, shown, chosen, results=Failing(path, {"run": 1}))
    assert len(json.loads(path.read_text())["numbers"]) == 2
    asked = Mock(wraps=memory.change)
    monkeypatch.setattr(memory, "change", asked)
    reporter = Counting()
    found = survey(
        memory, shown, chosen, results=Results(path, {"run": 1}), progress=reporter, batch_size=3
    )
    assert torch.equal(found.right, expected.right)
    assert torch.equal(found.broken, expected.broken)
    assert 0 < asked.call_count < 12
    assert reporter.steps == reporter.total == 24


class Counting:
    """Counts the steps of a task."""

    def __init__(self) -> None:
        self.steps = self.total = 0

    def task(self, description: str, *, total: int) -> "Counting":
        self.total = total
        return self

    def __enter__(self) -> "Counting":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self.steps += steps


def test_the_order_of_sites_does_not_matter() -> None:
    memory = StoredWeights(centred(vgg()))
    shown = images(memory.model)
    chosen = sample_sites(memory, 20, bits="top")
    turned = Sites(*(c.flip(0) for c in (chosen.array, chosen.index, chosen.bit)))
    found, back = survey(memory, shown, chosen), survey(memory, shown, turned)
    assert torch.equal(found.right, back.right.flip(0))
