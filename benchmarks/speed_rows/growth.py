"""The row of growth: cost an image as patch sets, images and clients become more."""

__all__ = ["ROWS", "knee"]

from collections.abc import Mapping

from rwsstore.runtime import LiveModel, Variant
from rwsstore.speed import time_pairs
from rwsstore.speed.subjects import predicting, random_images
from speed_rows.making import FLOAT, Scene, fastest_live, make_scene
from speed_rows.rest import clients_curve, has_service
from speed_rows.row import Curve, Finding, Row, RowSettings

_PATCHES = 16
"""So many patches; patch sets beyond that are theirs at other strengths."""
_REPEATS = 5
_NEAR = 1.1
"""Within a tenth of the best is as good as the best."""
_LARGEST_BATCH = 64


def _growth(settings: RowSettings) -> Finding:
    sizes = [2**power for power in range(3 if settings.smoke else 9)]
    scene = make_scene(settings.width, _PATCHES)
    live, compute = fastest_live(scene, FLOAT)
    variants = _patch_sets(scene, live, sizes[-1])
    mixed, single = {}, {}
    for size in sizes:
        mixed[str(size)], single[str(size)] = _at(live, variants[:size], settings)
    batch = {size: point for size, point in single.items() if int(size) <= _LARGEST_BATCH}
    curves: dict[str, Curve] = {"patch_sets": mixed, "one_patch_set": single, "batch": batch}
    if has_service():
        curves["clients"] = clients_curve(settings)
    knees = {name: knee(name, curve) for name, curve in curves.items()}
    return Finding(None, points=curves, details={"compute": compute.name, "knees": knees})


def _patch_sets(scene: Scene, live: LiveModel, count: int) -> list[Variant]:
    """So many different ones, each built and ready."""
    return [
        live.variant({scene.patches[n % _PATCHES].name: 1 - (n // _PATCHES) / 64})
        for n in range(count)
    ]


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
    costs = {int(place): _cost(name, point) for place, point in curve.items()}
    return next(place for place, cost in costs.items() if cost <= _NEAR * min(costs.values()))


def _cost(name: str, point: Mapping[str, float]) -> float:
    return 1 / point["per_second"] if name == "clients" else point["ms_per_image"]


ROWS = (
    Row(
        "growth",
        "cost an image with 1 … 256 patch sets in as many images, batch 1 … 64, 1 … 64 clients",
        "",
        "",
        _growth,
    ),
)
