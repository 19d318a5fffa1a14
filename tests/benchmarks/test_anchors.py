"""Anchors, projection, and what trains."""

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import benchmarks.paper.anchors as path_module
import benchmarks.paper.study as study_module
from benchmarks.paper.anchors import (
    BUNDLED,
    CUT,
    PROJECTED,
    UNPROJECTED,
    WHOLE,
    AnchorPath,
    RotationRecipe,
    candidates,
    differences,
    run,
    train_path,
    turned,
    turned_set,
    ways,
)
from benchmarks.paper.study import Study
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.making import starting_point
from rwsstore.measure import accuracy
from rwsstore.measure.accuracy import Predict
from rwsstore.models import Classifier, ModelSpec, build, fold_batchnorm, shallowest
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.store import Store
from rwsstore.training import CleanRecipe, RobustRecipe, fit, hold_out
from tests.benchmarks.making import (
    FIVE,
    TEST,
    TRAIN,
    Interrupted,
    a_study,
    files_of,
    settings,
    stopped_after,
    table,
)
from tests.runtime.making import bare_patch
from tests.training.tiny import changed, config, same

SHORT = {"epochs": 1, "batch_size": 20, "learning_rate": 0.02, "clip_norm": 1.0, "flip": False}
BRISK = {**SHORT, "batch_size": 8, "learning_rate": 0.1, "padding": 0}
"""Enough for so small a network to learn something."""
ANCHORS = {
    "width": 0.125, "layers": 2, "early": 2, "pretraining": {**BRISK, "epochs": 2},
    "clean": {**BRISK, "epochs": 6}, "training": BRISK, "alphas": (0.5, 1.0),
}  # fmt: skip
SETTINGS = settings(corruptions=FIVE, anchors=ANCHORS)


def four(images: ImageSet) -> ImageSet:
    """A fourth class, for there are four quarter turns."""
    return replace(images, classes=(*images.classes, "grey"))


@cache
def clean() -> Classifier:
    """A classifier that has learnt something."""
    spec = ModelSpec(
        network="vgg16", num_classes=4, classes=four(TEST).classes, width=0.125, input_size=8
    )
    train, validation = hold_out(four(TRAIN), validation=12)
    model = fit(
        build(spec, seed=0), CleanRecipe(), train, validation, config(6, batch_size=8)
    ).model
    assert isinstance(model, Classifier)
    return fold_batchnorm(model)


def study_in(folder: Path, **fields: Any) -> Study:
    store, wide = Store(folder / "mine"), Store(folder / "mine32")
    for seed, name in enumerate(FIVE):
        patch = bare_patch(clean(), name, seed=seed, bits=32, layers=1, corruption=name, severity=5)
        named = {"layers": (shallowest(clean(), 1)[0].name,)}
        metadata = patch.metadata.model_copy(update=named)
        patch = type(patch).build(metadata, patch.tensors, None)
        wide.publish(patch, name=name)
        store.publish(patch.at_bits(8), name=name)
    given: dict[str, Any] = {
        "clean": clean(), "store": store, "wide": wide, "train": four(TRAIN), "test": four(TEST),
        "settings": SETTINGS,
    }  # fmt: skip
    return a_study("anchors", folder, **{**given, **fields})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = study_in(tmp_path_factory.mktemp("anchors"))
    run(study)
    return study


def counterpart(study: Study, path: AnchorPath, corruption: str, anchor: str) -> nn.Module:
    """θ_c, trained without the study; the study kept the same one."""
    anchors = study.settings.anchors
    assert anchors is not None
    names = [name for layer in shallowest(path["clean"], 2) for name in layer.parameters]
    start = starting_point(path["clean"], path[anchor], names)
    recipe = RobustRecipe(corruption, 5, layers=2)
    result = fit(start, recipe, study.train, study.validation, anchors.training)
    kept = study.trained(f"anchors-{anchor}-{corruption}", recipe, start, anchors.training)
    assert same(kept, result.model)
    return result.model


@pytest.mark.parametrize("anchor", ["pretrained", "clean", "early"])
def test_each_difference_is_put_on_the_clean_model(finished: Study, anchor: str) -> None:
    anchors = finished.settings.anchors
    assert anchors is not None
    path = train_path(finished, anchors)
    robust = counterpart(finished, path, "contrast", anchor)
    std, c, init = (m.state_dict() for m in (path["clean"], robust, path[anchor]))
    found = candidates(finished, anchors, path, anchor, "contrast")
    assert list(found) == [WHOLE] if anchor == "clean" else [PROJECTED, UNPROJECTED, WHOLE]
    names = [name for layer in shallowest(path["clean"], 2) for name in layer.parameters]
    for kind, patch in found.items():
        live = LiveModel(path["clean"], PatchBag([patch]))
        patched = live.variant({patch.digest: None}).state()
        assert set(patch.tensors) == set(names)
        for name in names:
            v, base = c[name].double() - init[name], std[name].double() - init[name]
            along = torch.zeros_like(v)
            if anchor != "clean":
                along = (v * base).sum() / (base * base).sum() * base
            delta = {PROJECTED: v - along, UNPROJECTED: v, WHOLE: v - base}[kind]
            assert delta.abs().max() > 1e-4
            assert torch.allclose(patched[name], std[name] + delta.float(), atol=1e-6)


def test_the_page(finished: Study) -> None:
    anchors = finished.settings.anchors
    assert anchors is not None
    path = train_path(finished, anchors)
    assert set(files_of(finished)) == {"anchors.md", "anchors.png"}
    page = (finished.docs / "anchors.md").read_text()
    header, *means = table(page, f"Means over {', '.join(FIVE)}")
    assert header[:4] == ["anchor; difference", "validation RA", "RA", "TA"]
    by_label = {row[0]: row[1:] for row in table(page, "RA on the test images, α = 1")[1:]}
    assert [row[0] for row in means] == list(by_label)
    assert len(by_label) == 8
    for column, corruption in enumerate(FIVE):
        images = finished.corrupted(TEST, corruption)
        ra = accuracy(path["clean"], images, TEST.labels)
        assert by_label["no patch"][column] == f"{ra:.1f}"
        for anchor, number in (("pretrained", "1"), ("clean", "2"), ("early", "3")):
            # θ_c − θ_std at α = 1 is the counterpart itself, whatever the anchor.
            robust = counterpart(finished, path, corruption, anchor)
            label = next(x for x in by_label if x[0] == number and ("all" in x or WHOLE in x))
            assert by_label[label][column] == f"{accuracy(robust, images, TEST.labels):.1f}"


def test_full_training_is_cut_to_the_bundled_patchs_layers(finished: Study) -> None:
    layer = shallowest(clean(), 1)[0]
    for corruption in FIVE:
        robust = finished.robust(corruption)
        recipe = RobustRecipe(corruption, 5, layers=None)
        training = finished.settings.robust
        result = fit(clean(), recipe, finished.train, finished.validation, training)
        assert same(robust, result.model)
        state = {**clean().state_dict(), **{n: robust.state_dict()[n] for n in layer.parameters}}
        short = copy.deepcopy(clean())
        short.load_state_dict(state)
        patch = finished.patches([corruption], wide=True)[corruption]
        wanted: list[Predict] = [clean(), finished.patched(patch), short, robust]
        with torch.no_grad():
            for predict, other in zip(ways(finished, corruption).values(), wanted, strict=True):
                assert torch.allclose(predict(TEST.images), other(TEST.images), atol=1e-5)
            bare, *others = (predict(TEST.images) for predict in wanted)
            assert all((logits - bare).abs().max() > 1e-3 for logits in others)


def test_the_bundled_patches_at_8_bits_stand_in_where_there_are_no_wider_ones(
    finished: Study,
) -> None:
    study = replace(finished, wide=None)
    patch = study.patches(["contrast"])["contrast"]
    other = study.cut(study.robust("contrast"), "contrast", layers=1, bits=8)
    found = ways(study, "contrast")
    assert torch.equal(found[BUNDLED](TEST.images), study.patched(patch)(TEST.images))
    assert torch.equal(found[CUT](TEST.images), study.patched(other)(TEST.images))


def test_the_table_of_full_training(finished: Study) -> None:
    page = (finished.docs / "anchors.md").read_text()
    rows = table(page, "Shallow-constrained against full training, bundled model")[1:]
    assert [row[0] for row in rows] == [*FIVE, "mean"]
    for row in rows[:-1]:
        images = finished.corrupted(TEST, row[0])
        for place, predict in enumerate(ways(finished, row[0]).values()):
            assert row[1 + 2 * place] == f"{accuracy(predict, images, TEST.labels):.1f}"
            assert row[2 + 2 * place] == f"{accuracy(predict, TEST.images, TEST.labels):.1f}"


def test_a_second_run_trains_and_measures_nothing(
    finished: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object, **options: object) -> object:
        raise AssertionError("this was done before")

    before = files_of(finished)
    for name in ("fit", "accuracy", "corrupt"):
        monkeypatch.setattr(study_module, name, never)
    run(study_in(finished.work.parent))
    assert files_of(finished) == before


def test_one_that_was_stopped_goes_on_to_the_same(
    finished: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: dict[str, bool] = {}

    def watched(*arguments: Any, **options: Any) -> Any:
        begun.setdefault(options["label"], options["state_file"].exists())
        return fit(*arguments, **options)

    monkeypatch.setattr(study_module, "fit", watched)
    with stopped_after(5), pytest.raises(Interrupted):
        run(study_in(tmp_path))
    # The clean run goes on from the early checkpoint.
    assert (begun["anchors-rotation"], begun["anchors-clean"]) == (False, True)
    study = study_in(tmp_path)
    run(study)
    assert files_of(study) == files_of(finished)


def test_the_anchors_lie_on_one_path(finished: Study) -> None:
    anchors = finished.settings.anchors
    assert anchors is not None
    path = train_path(finished, anchors)

    def go_on(stop_after: int | None) -> nn.Module:
        return fit(
            path["pretrained"], CleanRecipe(), finished.train, finished.validation, anchors.clean,
            stop_after=stop_after,
        ).model  # fmt: skip

    assert same(path["early"], go_on(2))
    assert same(path["clean"], go_on(None))


def test_the_pretrained_anchor_has_a_new_last_layer(finished: Study) -> None:
    anchors = finished.settings.anchors
    assert anchors is not None
    pretrained = train_path(finished, anchors)["pretrained"]
    turning = replace(finished, validation=turned_set(finished.validation)).trained(
        "anchors-rotation",
        RotationRecipe(),
        build(clean().spec.model_copy(update={"folded": False}), seed=0),
        anchors.pretraining,
    )
    assert changed(pretrained, fold_batchnorm(turning)) == {
        "network.classifier.weight", "network.classifier.bias"
    }  # fmt: skip


def test_another_training_is_refused_and_left_alone(finished: Study) -> None:
    other = settings(anchors={**ANCHORS, "clean": {**BRISK, "epochs": 6, "seed": 1}})
    study = replace(finished, settings=other)
    assert other.anchors is not None
    before = {path.name: path.read_bytes() for path in finished.work.iterdir()}
    with pytest.raises(ConfigError, match="other parameters or data"):
        train_path(study, other.anchors)
    assert {path.name: path.read_bytes() for path in finished.work.iterdir()} == before


def test_without_settings_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[anchors\]"):
        run(study_in(tmp_path, settings=settings()))


def test_an_early_checkpoint_at_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="early is epoch 6 of a clean run of 6"):
        settings(anchors={**ANCHORS, "early": 6})


def test_without_an_anchor_of_its_own_all_differences_are_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    clean_weights, robust = ({"w": torch.randn(3, 4, generator=generator)} for _ in range(2))
    found = differences(["w"], clean_weights, robust, clean_weights)
    assert torch.equal(found[PROJECTED]["w"], found[WHOLE]["w"])
    assert torch.equal(found[UNPROJECTED]["w"], found[WHOLE]["w"])


def test_the_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    std, c, init = ({"w": torch.randn(3, 4, generator=generator)} for _ in range(3))
    found = differences(["w"], std, c, init)
    assert torch.allclose(found[UNPROJECTED]["w"], (c["w"] - init["w"]).double(), atol=1e-6)
    assert torch.allclose(found[WHOLE]["w"], (c["w"] - std["w"]).double(), atol=1e-6)
    base = (std["w"] - init["w"]).double()
    assert abs(float((found[PROJECTED]["w"] * base).sum())) < 1e-5


def test_each_image_is_turned_by_its_place() -> None:
    images = torch.arange(6 * 3 * 4 * 4, dtype=torch.uint8).reshape(6, 3, 4, 4)
    before = images.clone()
    pictures, turns = turned(images)
    assert turns.tolist() == [0, 1, 2, 3, 0, 1]
    for image, picture, turn in zip(images, pictures, turns.tolist(), strict=True):
        assert torch.equal(picture, torch.rot90(image, turn, (1, 2)))
    assert torch.equal(images, before)


def test_rotation_is_learnt_from_turns_and_not_from_labels() -> None:
    model = clean()
    recipe = RotationRecipe()
    images, labels = TEST.images[:8], TEST.labels[:8]
    assert torch.equal(recipe.show(images, torch.arange(8), 0), images)
    pictures, turns = turned(images)
    wanted = F.cross_entropy(model(pictures), turns, label_smoothing=0.1)
    assert torch.equal(recipe.loss(model, images, labels, 0.1), wanted)
    assert torch.equal(recipe.loss(model, images, labels.flip(0), 0.1), wanted)


def test_a_turned_set_has_turns_for_labels() -> None:
    found = turned_set(four(TEST))
    assert found.labels.tolist() == [place % 4 for place in range(len(TEST))]
    assert torch.equal(found.images, turned(TEST.images)[0])
    with pytest.raises(ConfigError, match="3 classes"):
        turned_set(TEST)


def test_the_early_checkpoint_is_read_back_and_not_trained_again(
    finished: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors = finished.settings.anchors
    assert anchors is not None
    epochs: list[int] = []

    def told(*arguments: Any, **options: Any) -> Any:
        result = fit(*arguments, **options)
        epochs.append(len(result.history))
        return result

    monkeypatch.setattr(path_module, "fit", told)
    before = (finished.work / "anchors-early.state").stat().st_mtime_ns
    train_path(finished, anchors)
    assert epochs == [2]
    assert (finished.work / "anchors-early.state").stat().st_mtime_ns == before
