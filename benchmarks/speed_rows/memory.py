"""The row of memory: resident patch sets against as many full models."""

__all__ = ["ROWS"]

from dataclasses import asdict

from rwsstore.speed import Ratio
from rwsstore.speed.subjects import measure_memory
from speed_rows.making import FLOAT, fastest_live, make_scene
from speed_rows.row import Finding, Row, RowSettings

_BUNDLED = 22
"""Patches: as many as come with the bundled model, one for each corruption and hazard."""

_PROCESSES = 3
"""Each measures anew; the kernel's count varies by little."""


def _against_models(settings: RowSettings, patches: int) -> Finding:
    count, processes = (3, 1) if settings.smoke else (100, min(_PROCESSES, settings.repeats))
    scene = make_scene(settings.width, min(patches, count))
    compute = fastest_live(make_scene(settings.width, 1), FLOAT)[1]
    uses = [
        measure_memory(scene.model, scene.patches, patch_sets=count, compute=compute)
        for _ in range(processes)
    ]
    return Finding(
        Ratio.of(use.against_models for use in uses),
        details={
            "compute": compute.name,
            "patches": len(scene.patches),
            "with_the_clean_model": Ratio.of(use.whole_against_models for use in uses).median,
            "bytes": [asdict(use) for use in uses],
        },
    )


ROWS = (
    Row(
        "memory_100_vs_models",
        f"memory that 100 resident patch sets of {_BUNDLED} patches add, and these patches",
        "100 full models",
        "≤ 0.06",
        lambda settings: _against_models(settings, _BUNDLED),
    ),
    Row(
        "memory_100_patches_vs_models",
        "the same with 100 different patches",
        "100 full models",
        "",
        lambda settings: _against_models(settings, 100),
    ),
)
