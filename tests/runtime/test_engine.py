import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, TensorError
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.runtime import FLOAT32, FORMATS, ComputeFormat, LiveModel, PatchBag, Variant
from tests.runtime.making import MODELS, SIZE, a_patch, equal_bits, pixels

# The folded resnet18 is computed in every format by the test of several sizes.
convertible = pytest.mark.parametrize(
    "kind", [kind for kind in MODELS if kind not in ("loose", "resnet18")]
)
others = pytest.mark.parametrize("compute", list(FORMATS.values())[1:], ids=list(FORMATS)[1:])
_TOLERANCE = 1e-5
_APART = {torch.float32: 1e-5, torch.bfloat16: 0.03}
"""From float32, as a share of the largest logit; docs/operate/compute-formats.md states these."""


class _Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float() / 255
        if float(x.mean()) < 0:
            x = -x
        logits: Tensor = self.fc(self.conv(x).relu().mean((2, 3)))
        return logits


@cache
def _made(kind: str) -> tuple[nn.Module, list[Patch]]:
    """A network and three patches for it; nobody writes to them."""
    model = MODELS[kind]().eval()
    return model, [a_patch(model, f"patch{seed}", seed=seed) for seed in range(3)]


def _live(kind: str, compute: ComputeFormat = FLOAT32) -> tuple[LiveModel, list[Variant]]:
    """A live model, its clean variant, and one for each of three patches."""
    model, patches = _made(kind)
    live = LiveModel(model, PatchBag(patches), compute=compute)
    return live, [live.active, *(live.variant({patch.name: None}) for patch in patches)]


_plain = cache(_live)
"""The same in float32, for whoever only predicts with it."""


def _alone(variants: list[Variant], images: Tensor) -> Tensor:
    rows = [variant(images[row : row + 1]) for row, variant in enumerate(variants)]
    return torch.cat(rows)


@pytest.mark.parametrize("kind", MODELS)
def test_each_image_has_the_answer_of_its_own_patch_set(kind: str) -> None:
    live, variants = _plain(kind)
    chosen = [variants[row] for row in (2, 0, 1, 2, 3, 0, 0)]
    images = pixels(len(chosen))
    found = live.predict_mixed(images, chosen)
    torch.testing.assert_close(found, _alone(chosen, images), rtol=0, atol=_TOLERANCE)
    assert found.is_inference()
    # No row has the answer of another patch set.
    others = _alone([variants[row] for row in (0, 1, 2, 3, 0, 1, 2)], images)
    assert bool(((found - others).abs().amax(1) > 10 * _TOLERANCE).all())


def test_one_patch_set_for_all_gives_its_bits() -> None:
    live, variants = _live("vgg16")
    images = pixels(5)
    for variant in variants:
        assert equal_bits(live.predict_mixed(images, [variant] * 5), variant(images))


def test_patches_that_reach_deeper_than_others_mix_too() -> None:
    model = MODELS["resnet18"]()
    shallow, deep = a_patch(model, "shallow", layers=1), a_patch(model, "deep", seed=1, layers=4)
    live = LiveModel(model, PatchBag([shallow, deep]))
    chosen = [live.variant({"shallow": None}), live.variant({"deep": 0.5, "shallow": 0.5})]
    images = pixels(2)
    found = live.predict_mixed(images, chosen)
    torch.testing.assert_close(found, _alone(chosen, images), rtol=0, atol=_TOLERANCE)


def test_a_network_that_cannot_be_cut_runs_whole() -> None:
    model = _Branching().eval()
    patches = [
        a_patch(model, f"patch{seed}", seed=seed, names=["conv.weight"]) for seed in range(2)
    ]
    live = LiveModel(model, PatchBag(patches))
    chosen = [live.variant({patch.name: None}) for patch in patches]
    images = pixels(2)
    found = live.predict_mixed(images, chosen)
    torch.testing.assert_close(found, _alone(chosen, images), rtol=0, atol=_TOLERANCE)


def test_the_active_patch_set_is_not_touched() -> None:
    live, variants = _live("two convolutions")
    live.predict_mixed(pixels(2), variants[1:3])
    assert live.active is variants[0]
    assert live.verify().ok
    assert live.verify(variants[1]).ok


def test_threads_mix_at_once() -> None:
    live, variants = _live("two convolutions")
    images = pixels(4)
    wanted = live.predict_mixed(images, variants)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: live.predict_mixed(images, variants), range(20)))
    assert all(equal_bits(one, wanted) for one in found)


def test_images_that_the_model_refuses_spoil_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    live, variants = _live("vgg16")
    with pytest.raises(TensorError):
        live.predict_mixed(pixels(2).to(torch.int64), variants[:2])
    images = pixels(2)
    wanted = live.predict_mixed(images, variants[:2])
    monkeypatch.setattr(Variant, "__call__", None)  # no variant runs whole
    assert equal_bits(live.predict_mixed(images, variants[:2]), wanted)


@pytest.mark.parametrize(("images", "variants"), [(2, 1), (0, 0), (1, 2)])
def test_other_than_one_variant_an_image_is_refused(images: int, variants: int) -> None:
    live, known = _live("two convolutions")
    with pytest.raises(ConfigError, match=f"{images} images with {variants} variants"):
        live.predict_mixed(pixels(4)[:images], known[:variants])


@others
@convertible
def test_other_formats_give_the_logits_of_float32_but_for_rounding(
    kind: str, compute: ComputeFormat
) -> None:
    plain, bare = _plain(kind)
    live, variants = _live(kind, compute)
    order, images = (2, 0, 1, 2, 3, 0, 0), pixels(7)
    wanted = plain.predict_mixed(images, [bare[row] for row in order])
    allowed = _APART[compute.dtype] * float(wanted.abs().max())
    mixed = live.predict_mixed(images, [variants[row] for row in order])
    single = torch.cat(
        [live.predict_mixed(images[n : n + 1], [variants[row]]) for n, row in enumerate(order)]
    )
    for found in (mixed, single):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, wanted, rtol=0, atol=allowed)
    assert [live.verify(one).problems for one in variants] == [()] * 4
    assert live.compute is compute


@others
def test_weights_are_the_same_bits_in_every_format(compute: ComputeFormat) -> None:
    _, bare = _plain("vgg16")
    live, variants = _live("vgg16", compute)
    before = [one.state() for one in variants]
    live.predict_mixed(pixels(4), variants)
    for states in (before, [one.state() for one in variants]):
        for state, plain in zip(states, bare, strict=True):
            assert all(equal_bits(state[name], tensor) for name, tensor in plain.state().items())
    assert [one.digest for one in variants] == [one.digest for one in bare]


def test_a_used_variant_holds_its_head_once() -> None:
    live, variants = _live("vgg16", FORMATS["packed"])
    tensors = [variant.state()["network.features.conv1.bias"] for variant in variants[1:]]
    buffers = [weakref.ref(tensor.untyped_storage()) for tensor in tensors]
    del tensors
    assert all(buffer() is not None for buffer in buffers)
    live.predict_mixed(pixels(4), variants)
    gc.collect()
    assert not any(buffer() is not None for buffer in buffers)


@pytest.mark.parametrize("compute", ["packed", "bf16"])
def test_other_weights_than_were_built_are_found_in_other_formats_too(compute: str) -> None:
    live, variants = _live("vgg16", FORMATS[compute])
    live.predict_mixed(pixels(4), variants)
    other = live.variant({"patch0": 0.5})
    live.predict_mixed(pixels(1), [other])
    assert all(live.verify(one).ok for one in (*variants, other))
    conversion = live._engine.conversion
    mine, foreign = (one.in_use(conversion) for one in (variants[1], other))
    assert mine is not None
    assert foreign is not None
    features = mine.get_submodule("network.features")
    kept = features._modules["conv1"]
    features._modules["conv1"] = foreign.get_submodule("network.features.conv1")
    assert live.verify(variants[1]).problems == (
        "patched tensor 'network.features.conv1.weight' differs from a fresh build",
        "patched tensor 'network.features.conv1.bias' differs from a fresh build",
    )
    features._modules["conv1"] = kept
    deep = features._modules["conv9"]
    features._modules["conv9"] = MODELS["vgg16"]().get_submodule("network.features.conv9")
    assert live.verify(variants[1]).problems == (
        "a tensor that no patch touches is not shared with the clean model",
    )
    features._modules["conv9"] = deep
    assert live.verify(variants[1]).ok


def test_a_model_that_hides_its_layers_computes_in_float32_only() -> None:
    with pytest.raises(ConfigError, match="computes in float32 only, not in packed"):
        LiveModel(MODELS["loose"](), compute=FORMATS["packed"])


class _Reading(nn.Module):
    """Reads the weights of a layer instead of calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = nn.functional.conv2d(x.float() / 255, self.conv.weight).mean((2, 3))
        return logits


def test_a_model_that_cannot_be_computed_in_a_format_says_so() -> None:
    live = LiveModel(_Reading(), compute=FORMATS["bf16"])
    with pytest.raises(ConfigError, match="cannot be computed in bf16"):
        live(pixels(1))


@others
def test_images_of_several_sizes_and_dtypes(compute: ComputeFormat) -> None:
    plain, bare = _plain("resnet18")
    live, variants = _live("resnet18", compute)
    for images in (pixels(2), pixels(3).float() / 255, pixels(2).repeat(1, 1, 2, 2)):
        wanted = plain.predict_mixed(images, bare[: len(images)])
        found = live.predict_mixed(images, variants[: len(images)])
        allowed = _APART[compute.dtype] * float(wanted.abs().max())
        torch.testing.assert_close(found, wanted, rtol=0, atol=allowed)


class _Shortcut(nn.Module):
    """An empty Sequential stands for a shortcut, as in many residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.shortcut = nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        x = x.float() / 255
        logits: Tensor = (self.conv(x).relu() + self.shortcut(x)).mean((2, 3))
        return logits


def test_an_empty_module_is_shared_like_any_other() -> None:
    model = _Shortcut().eval()
    patch = a_patch(model, names=["conv.weight"])
    live = LiveModel(model, PatchBag([patch]), compute=FORMATS["packed"])
    live.apply("fog")
    live(pixels(2))
    assert live.verify().problems == ()


@others
def test_what_overflows_is_told_by_its_logits(compute: ComputeFormat) -> None:
    """oneDNN's own ReLU would make 0 of NaN, and finite logits of that."""
    first, second = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 1, 1)
    last = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)]
    model = nn.Sequential(first, nn.ReLU(), second, *last).eval().requires_grad_(False)
    second.weight.copy_(torch.tensor([1.0, -1.0]).view(1, 2, 1, 1))  # inf - inf
    loud = make_patch(
        kind="rws",
        name="loud",
        model=identify(model.state_dict()),
        layers=(),
        deltas={"0.weight": torch.full((2, 3, 1, 1), 2e38)},
        bits=32,
    )
    live = LiveModel(model, PatchBag([loud]), compute=compute)
    images = torch.ones(2, 3, SIZE, SIZE)
    assert bool(live(images).isfinite().all())
    assert not bool(live.predict_mixed(images, [live.variant({"loud": 1.0})] * 2).isfinite().any())
