from pathlib import Path

import pytest
import torch

from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.models import Classifier, architecture_fingerprint, fold_batchnorm
from rwsstore.training import (
    ClassifierRun,
    CleanRecipe,
    fit,
    pixel_statistics,
    train_classifier,
)
from tests.training.tiny import changed, classifier, config, pictures, same

TRAIN, VALIDATION = pictures(36, size=8, seed=0), pictures(12, size=8, seed=1)


def train(
    start: Classifier,
    *,
    epochs: int = 3,
    anchor_epoch: int | None = None,
    pretrained: bool = False,
    state_file: Path | None = None,
) -> ClassifierRun:
    return train_classifier(
        start, CleanRecipe(), TRAIN, VALIDATION, config(epochs),
        anchor_epoch=anchor_epoch, pretrained=pretrained, state_file=state_file,
    )  # fmt: skip


@pytest.mark.parametrize("network", ["vgg16"])
def test_plainly_it_trains_with_batchnorm_and_folds_at_the_end(network: str) -> None:
    run = train(classifier(network, size=8), epochs=2)
    assert run.anchor is None
    assert run.unfolded is not None
    assert run.model.spec.folded
    assert not run.unfolded.spec.folded
    assert not run.model.training
    with torch.inference_mode():
        folded, unfolded = run.model(VALIDATION.images), run.unfolded(VALIDATION.images)
    assert torch.allclose(folded, unfolded, atol=1e-4 * float(unfolded.abs().max()))
    plain = fit(classifier(network, size=8), CleanRecipe(), TRAIN, VALIDATION, config(2))
    assert same(run.unfolded, plain.model)
    assert (run.best, run.history) == (plain.best, plain.history)


def test_without_batchnorm_there_is_nothing_unfolded() -> None:
    run = train(classifier(size=8, folded=True), epochs=1)
    assert run.unfolded is None
    assert run.model.spec.folded


def test_an_early_anchor_is_folded_and_the_rest_goes_on_from_it() -> None:
    run = train(classifier(size=8), anchor_epoch=1)
    assert run.unfolded is None
    assert run.anchor is not None
    assert run.anchor.spec == run.model.spec
    assert run.model.spec.folded
    assert architecture_fingerprint(run.anchor.state_dict()) == architecture_fingerprint(
        run.model.state_dict()
    )
    assert changed(run.model, run.anchor) == {name for name, _ in run.model.named_parameters()}
    early = fit(classifier(size=8), CleanRecipe(), TRAIN, VALIDATION, config(3), stop_after=1)
    assert isinstance(early.model, Classifier)
    assert same(run.anchor, fold_batchnorm(early.model))


def test_epochs_are_counted_through_both_parts() -> None:
    run = train(classifier(size=8), epochs=4, anchor_epoch=2)
    assert [record.epoch for record in run.history] == [1, 2, 3, 4]
    assert run.best in run.history[2:]
    assert run.best.accuracy == max(record.accuracy for record in run.history[2:])


def test_a_pretrained_start_is_folded_and_is_the_anchor() -> None:
    start = classifier(size=8, seed=3)
    run = train(start, pretrained=True)
    assert run.anchor is not None
    assert same(run.anchor, fold_batchnorm(start))
    assert not same(run.model, run.anchor)
    assert len(run.history) == 3


@pytest.mark.parametrize("epoch", [0, 3, 4, -1])
def test_an_anchor_outside_the_run_is_refused(epoch: int) -> None:
    with pytest.raises(ConfigError, match=f"anchor epoch {epoch} of 3"):
        train(classifier(size=8), anchor_epoch=epoch)


def test_two_anchors_are_refused() -> None:
    with pytest.raises(ConfigError, match="no pre-trained start"):
        train(classifier(size=8), anchor_epoch=1, pretrained=True)


def test_a_run_with_an_anchor_resumes_in_either_part(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    whole = train(classifier(size=8), anchor_epoch=1)
    fit(
        classifier(size=8), CleanRecipe(), TRAIN, VALIDATION, config(3), stop_after=1,
        state_file=tmp_path / "run.state.early",
    )  # fmt: skip
    for _ in range(2):  # from the first part's state, then from both
        resumed = train(classifier(size=8), anchor_epoch=1, state_file=path)
        assert same(resumed.model, whole.model)
        assert resumed.history == whole.history


def test_another_anchor_epoch_does_not_take_up_the_state_of_this_one(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    train(classifier(size=8), anchor_epoch=2, state_file=path)
    with pytest.raises(ConfigError, match="2 epochs on, and 1 are asked for"):
        train(classifier(size=8), anchor_epoch=1, state_file=path)


def test_pixel_statistics() -> None:
    mean, std = pixel_statistics(TRAIN)
    pixels = TRAIN.images.double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-4)
    assert std == pytest.approx(pixels.std((0, 2, 3)).tolist(), abs=1e-4)


def test_pixel_statistics_of_images_of_one_colour() -> None:
    grey = ImageSet(
        torch.full((2, 3, 4, 4), 51, dtype=torch.uint8), torch.arange(2), ("a", "b"), ""
    )
    assert pixel_statistics(grey) == ((0.2, 0.2, 0.2), (0.001, 0.001, 0.001))
