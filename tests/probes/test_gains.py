from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rwsstore.corruptions import corrupt
from rwsstore.measure.accuracy import Predict
from rwsstore.patches import Patch, compose
from rwsstore.probes import GainOptions, gather_signatures, measure_gains
from rwsstore.runtime import PatchBag
from tests.measure.making import TEST, clean_model, patch_for
from tests.runtime.making import reference_state
from tests.training.tiny import two_convs

PATCHES = {"fog": patch_for("fog", seed=1), "noise": patch_for("gaussian_noise", seed=2)}
OPTIONS = GainOptions(corruptions=("gaussian_noise", "fog", "contrast"), severity=4, seed=7)


def plain_accuracy(parts: list[tuple[Patch, float]], images: Tensor) -> float:
    """The plain reference: the weights by numpy, one prediction for all images."""
    network = two_convs()
    network.load_state_dict(reference_state(clean_model(), parts))
    with torch.no_grad():
        return 100 * float((network(images).argmax(1) == TEST.labels).double().mean())


def test_gains_are_differences_of_plain_accuracies() -> None:
    signatures = gather_signatures(clean_model(), PATCHES)
    found = measure_gains(clean_model(), signatures, TEST, OPTIONS)
    shown = [corrupt(TEST.images, name, 4, seed=7) for name in OPTIONS.corruptions]
    assert found.clean_ta == pytest.approx(plain_accuracy([], TEST.images))
    assert found.clean_ra.tolist() == pytest.approx([plain_accuracy([], one) for one in shown])
    for row, patch in enumerate(PATCHES.values()):
        expected = [plain_accuracy([(patch, 1.0)], images) for images in shown]
        assert found.ra[row].tolist() == pytest.approx(expected)
        assert float(found.ta[row]) == pytest.approx(plain_accuracy([(patch, 1.0)], TEST.images))
    assert torch.equal(found.gains, found.ra - found.clean_ra)
    assert torch.equal(found.costs, found.ta - found.clean_ta)
    assert (found.images, found.dataset) == (len(TEST), "tiny")
    assert found.gains.abs().max() > 5  # else this test says nothing


def test_a_composed_patch_is_measured_as_its_parts() -> None:
    fog, noise = PATCHES.values()
    weights = {"both": [(fog, 1.5), (noise, 0.25)], "half": [(fog, 0.5)]}
    given = {name: compose(name, chosen) for name, chosen in weights.items()}
    signatures = gather_signatures(clean_model(), given, PatchBag([fog, noise]))
    found = measure_gains(clean_model(), signatures, TEST, OPTIONS)
    plain = measure_gains(
        clean_model(), gather_signatures(clean_model(), {"fog": fog, "noise": noise}), TEST, OPTIONS
    )
    assert not torch.equal(found.ra, plain.ra)  # else the strengths could be anything
    for row, chosen in enumerate(weights.values()):
        assert float(found.ta[row]) == pytest.approx(plain_accuracy(chosen, TEST.images))
        for column, name in enumerate(OPTIONS.corruptions):
            images = corrupt(TEST.images, name, 4, seed=7)
            assert float(found.ra[row, column]) == pytest.approx(plain_accuracy(chosen, images))


def test_a_study_may_remember_numbers_and_then_nothing_is_corrupted() -> None:
    known: dict[str, float] = {}

    def remember(key: str, predict: Predict, images: Callable[[], Tensor], labels: Tensor) -> float:
        assert torch.equal(labels, TEST.labels)
        assert len(images()) == len(predict(images())) == len(labels)
        known[key] = 10.0 + len(known)
        return known[key]

    def recall(key: str, predict: Predict, images: Callable[[], Tensor], labels: Tensor) -> float:
        return known[key]

    signatures = gather_signatures(clean_model(), PATCHES)
    first = measure_gains(clean_model(), signatures, TEST, OPTIONS, measure=remember)
    places = ("none", *OPTIONS.corruptions)
    assert set(known) == {f"gain/{who}/{at}" for who in ("clean", *PATCHES) for at in places}
    assert float(first.ra[1, 2]) == known["gain/noise/contrast"]
    again = measure_gains(clean_model(), signatures, TEST, OPTIONS, measure=recall)
    assert torch.equal(first.ra, again.ra)
    assert torch.equal(first.ta, again.ta)
