import json
import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console

import rwsstore.speed.benching as bench_module
from rwsstore.errors import ConfigError
from rwsstore.runtime import FLOAT32, FORMATS
from rwsstore.speed import BenchReport, Subject, bench, bench_tables, random_patches
from rwsstore.speed.subjects import MemoryUse
from tests.training.tiny import classifier

MODEL = classifier(folded=True)
MEMORY = MemoryUse(patch_sets=3, live=10**6, half=10**5, patched=3 * 10**5, full_model=10**6)
SUBJECT = Subject(
    "tiny", MODEL, random_patches(MODEL, 3), "random ones", [FLOAT32, FORMATS["packed"]]
)


@pytest.fixture(scope="module")
def report() -> BenchReport:
    with pytest.MonkeyPatch.context() as patch:  # memory is measured in a test of its own
        patch.setattr(bench_module, "measure_memory", lambda *_, **__: MEMORY)
        patch.setattr(bench_module, "anonymous_memory", lambda: 1)
        return bench(SUBJECT, seconds=0.05)


def test_every_figure_is_there_and_a_number(report: BenchReport) -> None:
    assert [speed.name for speed in report.formats] == ["float32", "packed"]
    assert [speed.chosen for speed in report.formats].count(True) == 1
    for speed in report.formats:
        assert list(speed.images_per_second) == [1, 8, 32]
        rates = [rate for rate in speed.images_per_second.values() if rate is not None]
        assert rates
        assert speed.gflops == pytest.approx(report.flops / 1e9 * max(rates))
        assert speed.share == pytest.approx(speed.gflops / _best(report))
    patches = report.patches
    assert (patches.switching.patches, patches.composing.patches) == (1, 3)
    figures = [patches.switching.milliseconds, patches.switching.copies, patches.mixed]
    figures += [patches.composing.milliseconds, patches.composing.copies]
    figures += [patches.new_milliseconds, patches.ready_milliseconds, patches.copy_milliseconds]
    assert all(math.isfinite(figure) and figure > 0 for figure in figures)


def _best(report: BenchReport) -> float:
    return max(report.floors.gemm, report.floors.convolution)


def test_it_counts_the_model_and_its_patches(report: BenchReport) -> None:
    assert report.parameters == sum(parameter.numel() for parameter in MODEL.parameters())
    touched = SUBJECT.patches[0].tensors.values()
    assert report.patches.weights == sum(math.prod(payload.shape) for payload in touched)
    assert report.patches.memory == MEMORY


def test_the_document_is_json(report: BenchReport) -> None:
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(document) == {
        "machine", "model", "parameters", "flops", "floors", "formats", "patches"
    }  # fmt: skip
    assert document["patches"]["memory"]["per_patch_set"] == 10**5
    assert document["patches"]["memory"]["against_models"] == pytest.approx(0.1)
    assert document["machine"]["threads"] == torch.get_num_threads()


def text(report: BenchReport) -> str:
    console = Console(width=140, highlight=False)
    with console.capture() as captured:
        console.print(bench_tables(report))
    return captured.get()


def test_the_tables_say_what_a_user_wants_to_know(report: BenchReport) -> None:
    found = text(report)
    for part in ("tiny", "packed", "batch 32", "rws serve takes this", "random ones", "GB/s"):
        assert part in found
    assert "compose 3 patches" in found
    assert "0.10 MiB" in found
    assert "rws card" not in found
    alone = replace(report, formats=report.formats[:1])
    assert "rws card" in text(alone)


def test_what_was_not_measured_is_a_dash(report: BenchReport) -> None:
    slow = replace(report.formats[0], share=None, images_per_second={1: 0.5, 8: None, 32: None})
    found = text(replace(report, formats=(slow,), patches=replace(report.patches, memory=None)))
    assert "     -  " in found
    assert "this system does not tell" in found


def test_a_model_that_is_too_slow_is_not_measured_in_large_batches() -> None:
    ticks = iter(range(100_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_module, "anonymous_memory", lambda: None)
        slow = bench(  # everything takes a second
            replace(SUBJECT, offered=[FLOAT32]), seconds=10, clock=lambda: float(next(ticks))
        )
    assert slow.formats[0].images_per_second == {1: 1.0, 8: None, 32: None}
    assert slow.patches.memory is None


def test_no_patch_is_refused() -> None:
    with pytest.raises(ConfigError, match="no patch"):
        bench(replace(SUBJECT, patches=()))
