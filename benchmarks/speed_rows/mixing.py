"""Rows of mixed batches: as many patch sets as images, against one, and against a forward each."""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from rwsstore.runtime import LiveModel, Variant
from rwsstore.speed import inner_for, time_pairs
from rwsstore.speed.measuring import Action, Pairs
from rwsstore.speed.subjects import forward_each, predicting
from speed_rows.making import FLOAT, HALF, fastest_live, fastest_plain, make_scene
from speed_rows.row import Finding, Row, RowSettings


def _time(measured: Action, against: Action, settings: RowSettings) -> Pairs:
    return time_pairs(
        measured,
        against,
        repeats=settings.repeats,
        warm_up=settings.warm_up,
        inner=inner_for(against, seconds=0.02),
    )


def _single(
    settings: RowSettings, *, batch: int, formats: Sequence[str], quarter: bool = False
) -> Finding:
    """Throughput of the mixed batch over that of a batch with one patch set."""
    scene = make_scene(settings.quarter if quarter else settings.width, batch)
    live, compute = fastest_live(scene, formats)
    variants = scene.variants(live)
    single = predicting(live, scene.images, variants[:1] * batch)
    pairs = _time(single, predicting(live, scene.images, variants), settings)
    return Finding.of(pairs, ("single", "mixed"), compute=compute.name, batch=batch)


def _per_patch(settings: RowSettings, *, formats: Sequence[str], dtype: torch.dtype) -> Finding:
    """Times as fast as plain modules, one a patch set, each called on its own image."""
    scene = make_scene(settings.width, 8)
    live, compute = fastest_live(scene, formats)
    modules, layout = fastest_plain(scene, dtype)
    mixed = predicting(live, scene.images, scene.variants(live))
    pairs = _time(forward_each(modules, scene.singles), mixed, settings)
    return Finding.of(pairs, ("per_patch", "mixed"), compute=compute.name, against_layout=layout)


def _per_patch_packed(settings: RowSettings, *, formats: Sequence[str]) -> Finding:
    """Times as fast as our own forward pass in the same format, one a patch set."""
    scene = make_scene(settings.width, 8)
    live, compute = fastest_live(scene, formats)
    variants = scene.variants(live)
    mixed = predicting(live, scene.images, variants)
    pairs = _time(_one_by_one(live, scene.singles, variants), mixed, settings)
    return Finding.of(pairs, ("per_patch", "mixed"), compute=compute.name)


def _one_by_one(
    live: LiveModel, batches: Sequence[torch.Tensor], variants: Sequence[Variant]
) -> Action:
    return lambda: [
        live.predict_mixed(images, [variant])
        for images, variant in zip(batches, variants, strict=True)
    ]


_KINDS: Sequence[tuple[str, str, Callable[..., Finding]]] = (
    ("", "float32", partial(_single, formats=FLOAT)),
    ("_plain", "float32, weights not packed", partial(_single, formats=("float32",))),
    ("_bf16", "bfloat16", partial(_single, formats=HALF)),
    ("_quarter", "float32, quarter width", partial(_single, formats=FLOAT, quarter=True)),
)

_REQUIRED = {8: "≥ 0.87", 32: "≥ 0.83"}


def _single_rows() -> list[Row]:
    return [
        Row(
            f"mixed{batch}_vs_single{kind}",
            f"throughput, batch of {batch} with {batch} patch sets, {words}",
            "the same batch with one patch set",
            "" if kind else _REQUIRED[batch],
            partial(measure, batch=batch),
        )
        for batch in _REQUIRED
        for kind, words, measure in _KINDS
    ]


def _per_patch_rows() -> list[Row]:
    rows = []
    for short, words, required, formats, dtype in (
        ("fp32", "float32", "≥ 1.5", FLOAT, torch.float32),
        ("bf16", "bfloat16", "≥ 2", HALF, torch.bfloat16),
    ):
        what = f"batch of 8 with 8 patch sets, {words}, how many times faster"
        name = f"mixed8_vs_per_patch_{short}"
        plain = partial(_per_patch, formats=formats, dtype=dtype)
        rows.append(Row(name, what, "one forward a patch set, plain modules", required, plain))
        packed = partial(_per_patch_packed, formats=formats)
        rows.append(Row(f"{name}_packed", what, "one of our own a patch set", "", packed))
    return rows


ROWS = (*_single_rows(), *_per_patch_rows())
