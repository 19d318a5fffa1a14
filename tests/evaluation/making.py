"""A tiny trained model, patches for it, and reports that need no measuring."""

from functools import cache

from torch import nn

from rwsstore.evaluation import CorruptionResult, EvaluationReport, Pair, RivalResult, StoredResult
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
) -> EvaluationReport:
    """A report of made-up numbers."""
    results = {
        name: CorruptionResult(
            clean_model=40.0 + n,
            patched=60.25 + n,
            patch=f"{name}_patch",
            digest="d" * 64,
            patched_clean_accuracy=88.5,
            by_severity={5: Pair(clean_model=40.0 + n, patched=60.25 + n)},
        )
        for n, name in enumerate(names)
    }
    stored = StoredResult(
        patch_payload_bytes=1000,
        patch_file_bytes=2000,
        corruptions=results,
        mean=Pair(clean_model=40.5, patched=60.75),
        gap_recovered=0.4091,
    )
    found = RivalResult(clean_accuracy=70.0, corruptions=dict.fromkeys(names, 55.5), mean=55.5)
    return EvaluationReport(
        dataset=dataset,
        images=1234,
        severities=(5,),
        clean_accuracy=90.0,
        model_bytes=10_000,
        bits=None if widths == ("stored",) else int(widths[0]),
        by_bits=dict.fromkeys(widths, stored),
        rival={1: found, 200: found} if rival else {},
        frost_source="synthetic",
        **{name: getattr(stored, name) for name in StoredResult.model_fields},
    )
