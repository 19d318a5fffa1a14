from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, TensorError
from rwsstore.runtime import LiveModel, PatchBag, Variant
from tests.runtime.making import MODELS, a_patch, equal_bits, pixels

everyone = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
_TOLERANCE = 1e-5


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


def _live(model: nn.Module, count: int = 3, **fields: int) -> tuple[LiveModel, list[Variant]]:
    """A live model, its clean variant, and one for each of some patches."""
    patches = [a_patch(model, f"patch{seed}", seed=seed, **fields) for seed in range(count)]
    live = LiveModel(model, PatchBag(patches))
    return live, [live.active, *(live.variant({patch.name: None}) for patch in patches)]


def _alone(variants: list[Variant], images: Tensor) -> Tensor:
    rows = [variant(images[row : row + 1]) for row, variant in enumerate(variants)]
    return torch.cat(rows)


@everyone
def test_each_image_has_the_answer_of_its_own_patch_set(make: Callable[[], nn.Module]) -> None:
    live, variants = _live(make().eval())
    chosen = [variants[row] for row in (2, 0, 1, 2, 3, 0, 0)]
    images = pixels(len(chosen))
    found = live.predict_mixed(images, chosen)
    torch.testing.assert_close(found, _alone(chosen, images), rtol=0, atol=_TOLERANCE)
    assert found.is_inference()
    # No row has the answer of another patch set.
    others = _alone([variants[row] for row in (0, 1, 2, 3, 0, 1, 2)], images)
    assert bool(((found - others).abs().amax(1) > 10 * _TOLERANCE).all())


def test_one_patch_set_for_all_gives_its_bits() -> None:
    live, variants = _live(MODELS["vgg16"]())
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
    live, variants = _live(MODELS["two convolutions"]())
    live.predict_mixed(pixels(2), variants[1:3])
    assert live.active is variants[0]
    assert live.verify().ok
    assert live.verify(variants[1]).ok


def test_threads_mix_at_once() -> None:
    live, variants = _live(MODELS["two convolutions"]())
    images = pixels(4)
    wanted = live.predict_mixed(images, variants)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: live.predict_mixed(images, variants), range(20)))
    assert all(equal_bits(one, wanted) for one in found)


def test_images_that_the_model_refuses_spoil_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    live, variants = _live(MODELS["vgg16"]())
    with pytest.raises(TensorError):
        live.predict_mixed(pixels(2).to(torch.int64), variants[:2])
    images = pixels(2)
    wanted = live.predict_mixed(images, variants[:2])
    monkeypatch.setattr(Variant, "__call__", None)  # no variant runs whole
    assert equal_bits(live.predict_mixed(images, variants[:2]), wanted)


@pytest.mark.parametrize(("images", "variants"), [(2, 1), (0, 0), (1, 2)])
def test_other_than_one_variant_an_image_is_refused(images: int, variants: int) -> None:
    live, known = _live(MODELS["two convolutions"]())
    with pytest.raises(ConfigError, match=f"{images} images with {variants} variants"):
        live.predict_mixed(pixels(4)[:images], known[:variants])
