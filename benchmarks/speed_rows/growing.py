"""Rows of more: memory of resident patch sets; cost as patch sets, images, clients become more."""

import importlib.util
from dataclasses import asdict

from serve.rest import clients_curve

from rwsstore.runtime import LiveModel, Variant
from rwsstore.speed import Ratio, time_pairs
from rwsstore.speed.subjects import measure_memory, predicting, random_images
from speed_rows.making import FLOAT, fastest_live, make_scene
from speed_rows.row import Curve, Finding, Row, RowSettings

_BUNDLED = 22
"""Patches: as many as come with the bundled model, one for each corruption and hazard."""

_PROCESSES = 3
"""Each measures anew; the kernel's count varies by little."""

_PATCHES = 16
"""So many patches; patch sets beyond that are theirs at other strengths."""
_REPEATS = 5
_NEAR = 1.1
"""Within a tenth of the best is as good as the best."""
_LARGEST_BATCH = 64


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


def has_service() -> bool:
    """Whether the service is installed here."""
    return importlib.util.find_spec("rwsstore_service") is not None


def _growth(settings: RowSettings) -> Finding:
    sizes = [2**power for power in range(3 if settings.smoke else 9)]
    scene = make_scene(settings.width, _PATCHES)
    live, compute = fastest_live(scene, FLOAT)
    variants = [
        live.variant({scene.patches[n % _PATCHES].name: 1 - (n // _PATCHES) / 64})
        for n in range(sizes[-1])
    ]
    mixed, single = {}, {}
    for size in sizes:
        mixed[str(size)], single[str(size)] = _at(live, variants[:size], settings)
    batch = {size: point for size, point in single.items() if int(size) <= _LARGEST_BATCH}
    curves: dict[str, Curve] = {"patch_sets": mixed, "one_patch_set": single, "batch": batch}
    if has_service():
        curves["clients"] = clients_curve(settings)
    knees = {name: knee(name, curve) for name, curve in curves.items()}
    return Finding(None, points=curves, details={"compute": compute.name, "knees": knees})


def _at(
    live: LiveModel, variants: list[Variant], settings: RowSettings
) -> tuple[dict[str, float], dict[str, float]]:
    """A batch of as many images as variants: with all of them, and with the first alone."""
    count = len(variants)
    images = random_images(count, 32)
    pairs = time_pairs(
        predicting(live, images, variants),
        predicting(live, images, variants[:1] * count),
        repeats=min(_REPEATS, settings.repeats),
        warm_up=1,
    )
    mixed, single = ({"ms": ms, "ms_per_image": ms / count} for ms in pairs.milliseconds)
    return mixed, single


def knee(name: str, curve: Curve) -> int:
    """The first place on a curve from which on more brings less than a tenth.

    Of the cost an image, the place where it is near its lowest; of the clients, where the answers
    a second are near their most.
    """
    costs = {
        int(place): 1 / point["per_second"] if name == "clients" else point["ms_per_image"]
        for place, point in curve.items()
    }
    return next(place for place, cost in costs.items() if cost <= _NEAR * min(costs.values()))


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
    Row(
        "growth",
        "cost an image with 1 … 256 patch sets in as many images, batch 1 … 64, 1 … 64 clients",
        "",
        "",
        _growth,
    ),
)
