import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rwsstore.cpu import ComputeMode, cpu_quota, probe, quickest, thread_count, time_in_turns
from rwsstore.errors import ConfigError

PLAIN = ComputeMode()
LAST = ComputeMode(channels_last=True)
BF16 = ComputeMode(bf16=True)
BOTH = ComputeMode(bf16=True, channels_last=True)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(own: str, limits: dict[str, str]) -> dict[str, str]:
    """A version 2 hierarchy: the process's cgroup, and cpu.max for some cgroups."""
    files = {f"sys/fs/cgroup{path}/cpu.max": text for path, text in limits.items()}
    return {"proc/self/cgroup": f"0::{own}\n", **files}


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        (v2("/", {"": "150000 100000\n"}), 1.5),
        (v2("/", {"": "max 100000\n"}), None),
        (v2("/a/b", {"/a/b": "max 100000\n", "/a": "200000 100000\n"}), 2.0),
        (v2("/a/b", {"/a/b": "400000 100000\n", "/a": "50000 100000\n"}), 0.5),
        (v2("/a", {"/a": "400000 100000\n", "/a/b": "1 100000\n"}), 4.0),
        (v2("/gone", {"": "300000 100000\n"}), 3.0),
        (v2("/../other", {"": "300000 100000\n", "/../other": "1 100000\n"}), 3.0),
        (v2("/", {"": "rubbish\n"}), None),
        (v2("/", {"": "-5 100000\n"}), None),
        (v2("/", {"": "100000 0\n"}), None),
        (v2("/", {"": ""}), None),
    ],
)
def test_quota_of_version_2(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert cpu_quota(root=write(tmp_path, files)) == quota


def v1(mount: str, own: str, folder: str, quota: str) -> dict[str, str]:
    return {
        "proc/self/cgroup": f"5:memory:/m\n4:cpu,cpuacct:{own}\n",
        f"sys/fs/cgroup/{mount}{folder}/cpu.cfs_quota_us": quota,
        f"sys/fs/cgroup/{mount}{folder}/cpu.cfs_period_us": "100000\n",
    }


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        (v1("cpu", "/docker/x", "/docker/x", "250000\n"), 2.5),
        (v1("cpu,cpuacct", "/docker/x", "/docker", "70000\n"), 0.7),
        (v1("cpu", "/docker/x", "", "100000\n"), 1.0),
        (v1("cpu", "/", "", "-1\n"), None),
    ],
)
def test_quota_of_version_1(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert cpu_quota(root=write(tmp_path, files)) == quota


def test_a_file_that_is_no_text_is_no_limit(tmp_path: Path) -> None:
    write(tmp_path, v2("/", {}))
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_bytes(b"\xff\xfe")
    assert cpu_quota(root=tmp_path) is None


@pytest.mark.parametrize(
    ("quota", "cores", "threads"),
    [("max", 8, 8), ("250000", 8, 2), ("30000", 8, 1), ("900000", 4, 4), ("200000", 2, 2)],
)
def test_threads_are_whole_cores_within_both_limits(
    tmp_path: Path, quota: str, cores: int, threads: int
) -> None:
    root = write(tmp_path, v2("/", {"": f"{quota} 100000\n"}))
    assert thread_count(root=root, affinity=cores) == threads


def test_this_machine_gives_at_least_one_thread() -> None:
    assert thread_count() >= 1


def test_the_least_median_wins() -> None:
    assert quickest({PLAIN: 1.0, LAST: 0.8, BF16: 0.5, BOTH: 0.6}, PLAIN) == BF16
    assert quickest({LAST: 0.8, BF16: 0.5}, PLAIN) == BF16


@pytest.mark.parametrize(
    "medians",
    [{PLAIN: 1.0}, {PLAIN: 1.0, BF16: 0.95}, {PLAIN: 0.0, BOTH: 0.0}, {BF16: 2.0, PLAIN: 1.0}],
)
def test_plain_unless_another_is_clearly_faster(medians: dict[ComputeMode, float]) -> None:
    assert quickest(medians, PLAIN) == PLAIN


def test_between_equals_the_one_that_changes_less() -> None:
    watch = Watch({PLAIN: 1.0, LAST: 0.5, BF16: 0.5, BOTH: 0.5})
    assert probe(watch.model, torch.rand(2, 3, 4, 4), clock=watch) == LAST


def test_a_busy_moment_does_not_decide() -> None:
    seconds = {"slow": iter([1.0, 1.0, 1.0]), "fast": iter([0.5, 9.0, 0.5])}
    now = 0.0

    def run(way: str) -> None:
        nonlocal now
        now += next(seconds[way])

    runs = {way: partial(run, way) for way in seconds}
    assert time_in_turns(runs, repeats=3, clock=lambda: now) == {"slow": 1.0, "fast": 0.5}


class Watch:
    """A clock that a model moves: each call takes as long as its mode is said to."""

    def __init__(self, seconds: dict[ComputeMode, float]) -> None:
        self.now, self.seconds = 0.0, seconds
        self.calls: dict[ComputeMode, int] = dict.fromkeys(seconds, 0)

    def __call__(self) -> float:
        return self.now

    def model(self, images: Tensor) -> Tensor:
        mode = ComputeMode(
            bf16=torch.is_autocast_enabled("cpu"),
            channels_last=images.is_contiguous(memory_format=torch.channels_last),
        )
        self.calls[mode] += 1
        self.now += self.seconds[mode]
        return images * 1.0


@pytest.mark.parametrize("fastest", [PLAIN, LAST, BF16, BOTH])
def test_probe_finds_the_fastest(fastest: ComputeMode) -> None:
    watch = Watch(dict.fromkeys((PLAIN, LAST, BF16, BOTH), 1.0) | {fastest: 0.5})
    assert probe(watch.model, torch.rand(2, 3, 4, 4), clock=watch) == fastest
    assert set(watch.calls.values()) == {4}  # one to warm up, three timed


def test_probe_gives_a_hopeless_mode_up_after_one_timed_step() -> None:
    watch = Watch({PLAIN: 1.0, LAST: 1.0, BF16: 50.0, BOTH: 50.0})
    assert probe(watch.model, torch.rand(2, 3, 4, 4), repeats=5, clock=watch) == PLAIN
    assert watch.calls == {PLAIN: 6, LAST: 6, BF16: 2, BOTH: 2}


def test_probe_passes_over_a_mode_that_fails() -> None:
    watch = Watch({PLAIN: 1.0, LAST: 0.5, BF16: 0.1, BOTH: 0.1})

    def model(images: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not implemented for 'BFloat16'")
        return watch.model(images)

    assert probe(model, torch.rand(2, 3, 4, 4), clock=watch) == LAST


def ticking() -> Callable[[], float]:
    ticks = iter(range(10_000))
    return lambda: float(next(ticks))


def test_probe_leaves_no_trace() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
    before = copy.deepcopy(model.state_dict())
    example = torch.rand(2, 3, 5, 5)
    random_state = torch.get_rng_state()
    probe(model, example, repeats=1, clock=ticking())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.is_contiguous() for p in model.parameters())
    assert example.is_contiguous()


def test_probe_runs_backward_where_something_trains() -> None:
    weight = torch.ones(1, requires_grad=True)
    probe(lambda images: images * weight, torch.ones(1, 3, 2, 2), repeats=1, clock=ticking())
    # The mean square's gradient is 2; four modes, each one step to warm up and one timed.
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(16, rel=1e-3)


def test_probe_refuses_no_repeats() -> None:
    with pytest.raises(ConfigError, match="0 repeats"):
        probe(lambda images: images, torch.rand(1, 3, 2, 2), repeats=0)


def test_autocast_computes_in_bf16_only_where_asked() -> None:
    layer, images = nn.Conv2d(3, 2, 1), torch.rand(1, 3, 2, 2)
    with BF16.autocast():
        assert layer(images).dtype == torch.bfloat16
    with PLAIN.autocast():
        assert layer(images).dtype == torch.float32


def test_prepare_lays_models_and_batches_out() -> None:
    images = torch.rand(2, 3, 4, 4)
    assert LAST.prepare(images).is_contiguous(memory_format=torch.channels_last)
    assert PLAIN.prepare(images) is images
    model = nn.Conv2d(3, 2, 3)
    assert LAST.prepare(model) is model
    assert model.weight.is_contiguous(memory_format=torch.channels_last)
