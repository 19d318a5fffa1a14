"""From tiny images to a patch, and what the patch then is."""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from rwsstore.corruptions import corrupt
from rwsstore.errors import ConfigError, GoldenError, TensorError
from rwsstore.making import ExtractionOptions, extract_patch, signature_plans
from rwsstore.making.options import Anchor
from rwsstore.measure import accuracy
from rwsstore.models import shallowest
from rwsstore.patches import Patch, check_golden, identify, probe_images
from rwsstore.patches.quantization import RawTensor
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.training import CleanRecipe, RobustRecipe, derive_seed, fit
from tests.measure import making
from tests.training.tiny import TwoConvs, classifier, config, pictures, two_convs

TRAIN, VALIDATION = pictures(36, size=16, seed=0), pictures(18, size=16, seed=1)


def options(**fields: object) -> ExtractionOptions:
    values = {
        "severity": 4,
        "layers": 2,
        "alphas": (0.5, 1.0),
        "training": config(2).model_dump(),
        **fields,
    }
    return ExtractionOptions.model_validate(values)


@cache
def trained() -> tuple[nn.Module, nn.Module]:
    """A clean model, and an early checkpoint of its run."""
    late, early = (
        fit(two_convs(), CleanRecipe(), TRAIN, VALIDATION, config(6), stop_after=epochs).model
        for epochs in (4, 1)
    )
    return late, early


def anchor_for(kind: Anchor) -> nn.Module | None:
    return {"clean": None, "early": trained()[1], "pretrained": two_convs()}[kind]


def extract(
    wanted: ExtractionOptions | None = None,
    *,
    clean: nn.Module | None = None,
    corruption: str = "contrast",
    name: str | None = None,
    state_folder: Path | None = None,
) -> Patch:
    wanted = wanted or options()
    return extract_patch(
        clean or trained()[0], corruption, TRAIN, VALIDATION, wanted,
        anchor=anchor_for(wanted.anchor), name=name, state_folder=state_folder,
    )  # fmt: skip


def robust_counterpart(wanted: ExtractionOptions) -> nn.Module:
    clean, _ = trained()
    layers = wanted.layers if wanted.training_mode == "shallow" else None
    recipe = RobustRecipe("contrast", wanted.severity, layers=layers)
    return fit(clean, recipe, TRAIN, VALIDATION, wanted.training).model


@pytest.mark.parametrize("kind", ["clean", "early", "pretrained"])
@pytest.mark.parametrize("mode", ["shallow", "full"])
def test_every_anchor_and_mode_gives_a_patch_that_loads(kind: Anchor, mode: str) -> None:
    clean, _ = trained()
    wanted = options(anchor=kind, training_mode=mode)
    patch = extract(wanted)
    found = patch.metadata
    layers = shallowest(clean, 2)
    assert (found.kind, found.name) == ("rws", "contrast")
    assert (found.corruption, found.severity, found.bits) == ("contrast", 4, 8)
    assert (found.anchor, found.projected) == (kind, kind != "clean")
    assert found.layers == tuple(layer.name for layer in layers)
    assert set(patch.tensors) == {name for layer in layers for name in layer.parameters}
    assert found.clean_weights == identify(clean.state_dict()).clean_weights
    assert found.dataset == "tiny"
    plans = signature_plans(clean, ["fog"], TRAIN, VALIDATION, wanted, anchor=anchor_for(kind))
    assert [found.recipe] == [plan.record for plan in plans]
    live = LiveModel(clean, PatchBag([Patch.from_bytes(patch.to_bytes())]))
    assert live.apply("contrast").patched == tuple(sorted(patch.tensors))


@pytest.mark.parametrize("kind", ["early", "pretrained"])
@pytest.mark.parametrize("mode", ["shallow", "full"])
def test_with_an_anchor_the_deltas_are_orthogonal_to_the_base(kind: Anchor, mode: str) -> None:
    clean, anchor = trained()[0], anchor_for(kind)
    assert anchor is not None
    patch = extract(options(anchor=kind, training_mode=mode, bits=32))
    for name, payload in patch.tensors.items():
        assert isinstance(payload, RawTensor)
        delta = payload.values.double()
        base = clean.state_dict()[name].double() - anchor.state_dict()[name].double()
        assert base.norm() > 0
        cosine = (delta * base).sum() / (delta.norm() * base.norm())
        assert abs(float(cosine)) < 1e-6, name


def test_an_anchor_changes_the_patch() -> None:
    patches = [extract(options(anchor=kind)) for kind in ("clean", "early", "pretrained")]
    assert len({patch.tensors["conv1.weight"].delta(1.0).norm().item() for patch in patches}) == 3


@pytest.mark.parametrize("mode", ["shallow", "full"])
def test_training_starts_at_the_anchor_shallow_with_the_clean_deep_layers(mode: str) -> None:
    clean, anchor = trained()
    wanted = options(anchor="early", bits=32, training_mode=mode)
    names = {name for layer in shallowest(clean, 2) for name in layer.parameters}
    origin = anchor.state_dict()
    start = two_convs()
    start.load_state_dict(
        origin if mode == "full" else clean.state_dict() | {name: origin[name] for name in names}
    )
    recipe = RobustRecipe("contrast", 4, layers=2 if mode == "shallow" else None)
    robust = fit(start, recipe, TRAIN, VALIDATION, wanted.training).model.state_dict()
    patch = extract(wanted)
    assert set(patch.tensors) == names
    for name, payload in patch.tensors.items():
        v = (robust[name] - origin[name]).double()
        base = (clean.state_dict()[name] - origin[name]).double()
        residual = v - (v * base).sum() / base.square().sum() * base
        assert torch.allclose(payload.delta(1.0).double(), residual, atol=1e-6)


@pytest.mark.parametrize("mode", ["shallow", "full"])
def test_at_32_bits_clean_and_patch_are_the_robust_counterpart(mode: str) -> None:
    clean, _ = trained()
    wanted = options(bits=32, training_mode=mode)
    patch, robust = extract(wanted), robust_counterpart(wanted)
    state = LiveModel(clean, PatchBag([patch])).variant({"contrast": 1.0}).state()
    for name, tensor in robust.state_dict().items():
        if name in patch.tensors:
            assert torch.allclose(state[name], tensor, rtol=1e-6, atol=1e-7), name
        else:
            assert torch.equal(state[name], clean.state_dict()[name])
            assert torch.equal(tensor, state[name]) == (mode == "shallow")


def test_the_clean_model_is_left_as_it_is() -> None:
    clean, _ = trained()
    before = identify(clean.state_dict())
    extract(options(anchor="early", training_mode="full"))
    assert identify(clean.state_dict()) == before


def test_the_same_extraction_gives_the_same_bytes(tmp_path: Path) -> None:
    assert extract().digest == extract(state_folder=tmp_path / "state").digest
    assert (
        extract(options(training={**config(2).model_dump(), "seed": 1})).digest != extract().digest
    )


def test_the_card_is_measured_on_the_validation_images() -> None:
    clean = making.clean_model()
    wanted = options(alphas=(1.0, 0.25, 1.0), severity=5)
    patch = extract_patch(clean, "fog", making.TRAIN, making.TEST, wanted)
    card = patch.metadata.card
    assert card is not None
    assert card.images == 30
    assert [point.alpha for point in card.points] == [0.0, 0.25, 1.0]
    assert card.points[0].ta > card.points[0].ra
    images, labels = making.TEST.images, making.TEST.labels
    foggy = corrupt(images, "fog", 5, seed=derive_seed(0, "card"))
    live = LiveModel(clean, PatchBag([patch]))
    for point in card.points:
        model = live.variant({"fog": point.alpha})
        assert point.ta == accuracy(model, images, labels)
        assert point.ra == accuracy(model, foggy, labels)


def test_the_card_can_be_measured_on_fewer_images() -> None:
    card = extract(options(card_images=6)).metadata.card
    assert card is not None
    assert card.images == 6


def test_golden_logits_are_recorded() -> None:
    clean, _ = trained()
    patch = extract()
    probe = patch.metadata.golden
    assert patch.golden is not None
    assert probe is not None
    assert (probe.count, probe.size) == (8, 16)
    live = LiveModel(clean, PatchBag([patch]))
    images = probe_images(probe.seed, probe.count, probe.size)
    check_golden(patch.golden, live.variant({}), live.variant({"contrast": None}), images)


def test_the_name_may_be_chosen() -> None:
    assert extract(name="low_contrast").name == "low_contrast"


@pytest.mark.parametrize("network", ["vgg16", "resnet18"])
def test_our_own_networks(network: str) -> None:
    patch = extract(clean=classifier(network, folded=True))
    assert len(patch.metadata.layers) == 2


def test_an_anchor_that_contradicts_the_options_is_refused() -> None:
    clean, anchor = trained()
    with pytest.raises(ConfigError, match="'early' needs model"):
        extract_patch(clean, "fog", TRAIN, VALIDATION, options(anchor="early"))
    with pytest.raises(ConfigError, match="'clean' takes no model"):
        extract_patch(clean, "fog", TRAIN, VALIDATION, options(), anchor=anchor)


@pytest.mark.parametrize("mode", ["shallow", "full"])
@pytest.mark.parametrize("damage", ["missing", "misshapen"])
def test_an_anchor_that_is_another_network_is_refused_before_training(
    mode: str, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = TwoConvs()
    other.conv1 = nn.Conv2d(3, 6, 3 if damage == "missing" else 5, bias=damage != "missing")
    monkeypatch.setattr("rwsstore.making.pipeline.fit", None)
    with pytest.raises(TensorError, match=r"'conv1\.(bias|weight)'.*not the same network"):
        extract_patch(
            trained()[0], "fog", TRAIN, VALIDATION, options(anchor="early", training_mode=mode),
            anchor=other,
        )  # fmt: skip


def test_an_anchor_with_another_head_is_enough_for_shallow_training() -> None:
    other = TwoConvs()
    other.fc = nn.Linear(8, 9)
    wanted = options(anchor="pretrained")
    patch = extract_patch(trained()[0], "fog", TRAIN, VALIDATION, wanted, anchor=other)
    assert patch.metadata.projected
    full = options(anchor="pretrained", training_mode="full")
    with pytest.raises(TensorError, match=r"fc\."):
        extract_patch(trained()[0], "fog", TRAIN, VALIDATION, full, anchor=other)


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="shallowest 7"):
        extract(options(layers=7))


def test_a_patch_that_does_nothing_is_refused() -> None:
    clean, _ = trained()
    dead = two_convs()
    dead.load_state_dict({name: torch.zeros_like(t) for name, t in clean.state_dict().items()})
    with pytest.raises(GoldenError, match="does nothing"):
        extract(options(layers=1), clean=dead)
