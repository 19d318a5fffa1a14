from pathlib import Path

import pytest

import rwsstore.speed.subjects as memory_module
from rwsstore.errors import ConfigError, RwsError
from rwsstore.models import ModelSpec, build
from rwsstore.speed import random_patches
from rwsstore.speed.subjects import MemoryUse, anonymous_memory, measure_memory

linux = pytest.mark.skipif(anonymous_memory() is None, reason="only Linux tells")


def test_what_the_kernel_tells(tmp_path: Path) -> None:
    rollup = tmp_path / "smaps_rollup"
    rollup.write_text("00400000-7fff [rollup]\nRss:  9000 kB\nAnonymous:  1200 kB\nSwap:  34 kB\n")
    assert anonymous_memory(rollup=rollup) == 1234 * 1024
    rollup.write_text("something else\n")
    assert anonymous_memory(rollup=rollup) is None
    assert anonymous_memory(rollup=tmp_path / "none") is None


def test_the_shares() -> None:
    use = MemoryUse(patch_sets=9, live=200, half=30, patched=45, full_model=100)
    assert use.per_patch_set == 3
    assert use.against_models == pytest.approx(0.05)
    assert use.whole_against_models == pytest.approx(245 / 900)


@linux
def test_a_patch_set_takes_what_it_changes_and_not_a_model() -> None:
    model = build(ModelSpec(network="vgg16", num_classes=10, width=0.5, folded=True)).eval()
    patches = random_patches(model, 6)
    head = 4 * sum(len(payload.shape) and _numel(payload.shape) for payload in
                   patches[0].tensors.values())  # fmt: skip
    whole = sum(4 * parameter.numel() for parameter in model.parameters())
    use = measure_memory(model, patches, full_models=2)
    assert use.patch_sets == 6
    assert 0.9 * head < use.per_patch_set < 4 * head
    assert 0.9 * whole < use.full_model < 1.5 * whole
    assert use.against_models < 0.2


def _numel(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


@linux
def test_no_patch_is_refused() -> None:
    model = build(ModelSpec(network="vgg16", num_classes=3, width=0.0625, folded=True)).eval()
    with pytest.raises(ConfigError, match="no patch"):
        measure_memory(model, [])


@linux
def test_a_child_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "_PROGRAM", "raise SystemExit('out of luck')")
    model = build(ModelSpec(network="vgg16", num_classes=3, width=0.0625, folded=True)).eval()
    with pytest.raises(RwsError, match="out of luck"):
        measure_memory(model, random_patches(model, 1))


def test_where_the_system_does_not_tell_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "anonymous_memory", lambda: None)
    model = build(ModelSpec(network="vgg16", num_classes=3, width=0.0625, folded=True)).eval()
    with pytest.raises(ConfigError, match="only Linux"):
        measure_memory(model, random_patches(model, 1))
