"""A tiny trained model, patches for it, and reports that need no measuring."""

from functools import cache
from typing import Any

from torch import nn

from rwsstore.measure import EvaluationReport, Interval
from rwsstore.measure.report import CorruptionResult, Pair, RivalResult, StoredResult
from rwsstore.patches import Patch
from rwsstore.training import CleanRecipe, fit
from tests.runtime.making import a_patch
from tests.training.tiny import config, pictures, two_convs

TRAIN = pictures(48, size=16, seed=0, strength=40)
TEST = pictures(30, size=16, seed=1, strength=20)  # hard enough for corruptions to tell


@cache
def clean_model() -> nn.Module:
    settings = config(6, learning_rate=0.1)
    return fit(two_convs(), CleanRecipe(), TRAIN, TEST, settings, stop_after=6).model


@cache
def patch_for(corruption: str, *, seed: int = 0, bits: int = 8, severity: int = 5) -> Patch:
    return a_patch(
        clean_model(), f"{corruption}_patch", seed=seed, bits=bits, layers=2, scale=0.1,
        corruption=corruption, severity=severity,
    )  # fmt: skip


def make_report(
    names: tuple[str, ...] = ("fog", "frost"),
    *,
    widths: tuple[str, ...] = ("stored",),
    rival: bool = False,
    dataset: str = "tiny",
    intervals: bool = False,
) -> EvaluationReport:
    """A report of made-up numbers."""

    def around(value: float, half: float) -> Interval | None:
        return Interval(low=value - half, high=value + half) if intervals else None

    def pair(clean_model: float, patched: float, half: float) -> dict[str, Any]:
        return {
            "clean_model": clean_model,
            "patched": patched,
            "clean_model_interval": around(clean_model, half),
            "patched_interval": around(patched, 1.5 * half),
            "gain_interval": around(patched - clean_model, half / 2),
        }

    results = {
        name: CorruptionResult(
            **pair(40.0 + n, 60.25 + n, 2.0),
            patch=f"{name}_patch",
            digest="d" * 64,
            patched_clean_accuracy=88.5,
            patched_clean_accuracy_interval=around(88.5, 1.0),
            by_severity={5: Pair(**pair(40.0 + n, 60.25 + n, 2.0))},
        )
        for n, name in enumerate(names)
    }
    stored = StoredResult(
        patch_payload_bytes=1000,
        patch_file_bytes=2000,
        corruptions=results,
        mean=Pair(**pair(40.5, 60.75, 1.2)),
        gap_recovered=0.4091,
        gap_recovered_interval=around(0.4091, 0.02),
    )
    found = RivalResult(
        clean_accuracy=70.0,
        corruptions=dict.fromkeys(names, 55.5),
        mean=55.5,
        clean_accuracy_interval=around(70.0, 1.6),
        mean_interval=around(55.5, 1.7),
    )
    return EvaluationReport(
        dataset=dataset,
        images=1234,
        severities=(5,),
        clean_accuracy=90.0,
        clean_accuracy_interval=around(90.0, 0.9),
        resamples=1000 if intervals else 0,
        model_bytes=10_000,
        bits=None if widths == ("stored",) else int(widths[0]),
        by_bits=dict.fromkeys(widths, stored),
        rival={1: found, 200: found} if rival else {},
        frost_source="synthetic",
        **{name: getattr(stored, name) for name in StoredResult.model_fields},
    )
