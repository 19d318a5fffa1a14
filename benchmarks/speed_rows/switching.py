"""Rows of one process: a variant built, and batches of as many patch sets as images.

The one against a plain copy and reloading a checkpoint; the others against a batch with one patch
set, and a forward pass for each.
"""

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rwsstore.models import ModelSpec, build
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.speed import inner_for, timings
from rwsstore.speed.measuring import Action, Pairs
from rwsstore.speed.subjects import (
    copying,
    forward_each,
    patched_names,
    predicting,
    strengths,
    switching,
)
from speed_rows.making import FLOAT, HALF, Scene, fastest_live, fastest_plain, make_scene
from speed_rows.row import Finding, Row, RowSettings

_SWEPT = 1 << 24
"""Numbers that are written to sweep the caches out: 64 MiB."""

_INNER = 25
"""How often each action is repeated before the other's turn, in every row of switching: long
against the clock, and not so long that a copy finds everything in the core's own cache."""


def _switching(scene: Scene) -> Action:
    """Builds variants, each freed when the next one is there, as the plain copies are."""
    live = LiveModel(scene.model, PatchBag(scene.patches), resident_bytes=0)
    return switching(live, scene.patches)


def _against_copy(settings: RowSettings, count: int) -> Finding:
    scene = make_scene(settings.width, count)
    names = patched_names(scene.patches)
    copy, switch = copying(scene.model, names), _switching(scene)
    head = sum(scene.model.state_dict()[name].numel() for name in names)
    return Finding.timed(
        settings,
        {"switch": switch, "copy": copy},
        {"head_parameters": head, "patches": count},
        inner=_INNER,
        turns=1 if settings.smoke else 5,  # each is quick
    )


def _against_reload(settings: RowSettings) -> Finding:
    scene = make_scene(settings.width, 1)
    state = scene.variants(scene.live("float32"))[0].state()
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "reload": _reloading(state, scene.model.spec, Path(folder)),
            "switch": _switching(scene),
        }
        return Finding.timed(settings, sides, inner=_INNER)


def _against_copy_cold(settings: RowSettings) -> Finding:
    """Each finds nothing of its own in any cache: as between two predictions."""
    scene = make_scene(settings.width, 1)
    names = patched_names(scene.patches)
    swept = torch.zeros(_SWEPT)

    def sweep() -> None:
        swept.add_(1.0)

    actions = _switching(scene), copying(scene.model, names)
    times: tuple[list[float], list[float]] = [], []
    for _ in range(settings.repeats + settings.warm_up):
        for action, found in zip(actions, times, strict=True):
            sweep()
            found.extend(timings(action, repeats=1, warm_up=0))
    kept = [tuple(found[settings.warm_up :]) for found in times]
    return Finding.of(Pairs(*kept), ("switch", "copy"))


def _reloading(state: Mapping[str, Tensor], spec: ModelSpec, folder: Path) -> Action:
    """The quickest way that keeps a model: safetensors' own reader, no check of ours."""
    path, target = folder / "patched.safetensors", build(spec).eval()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return lambda: target.load_state_dict(load_file(path))


def _resident(settings: RowSettings) -> Finding:
    """Making a patch set active that is at hand, and taking it off again: half of both."""
    scene = make_scene(settings.width, 1)
    live, wanted = scene.live("float32"), {scene.patches[0].name: None}
    live.set_patches(wanted)
    turns = itertools.cycle(({}, wanted))
    copy = copying(scene.model, patched_names(scene.patches))
    sides = {"activate": lambda: live.set_patches(next(turns)), "copy": copy}
    return Finding.timed(settings, sides, inner=inner_for(copy))


def _first_prediction(settings: RowSettings) -> Finding:
    """What a patch set costs that nobody has asked for yet, packing its weights included."""
    scene = make_scene(settings.width, 1)
    live, compute = fastest_live(scene, FLOAT)
    ready = scene.variants(live)
    alphas = strengths(scene.patches[0])
    next(alphas)

    def new() -> Tensor:
        variant = live.variant({scene.patches[0].name: next(alphas)})
        return live.predict_mixed(scene.images, [variant])

    sides = {"new": new, "ready": predicting(live, scene.images, ready)}
    return Finding.timed(settings, sides, {"compute": compute.name})


def _single(
    settings: RowSettings, *, batch: int, formats: Sequence[str], quarter: bool = False
) -> Finding:
    """Throughput of the mixed batch over that of a batch with one patch set."""
    scene = make_scene(settings.quarter if quarter else settings.width, batch)
    live, compute = fastest_live(scene, formats)
    variants = scene.variants(live)
    sides = {
        "single": predicting(live, scene.images, variants[:1] * batch),
        "mixed": predicting(live, scene.images, variants),
    }
    return _throughput(settings, sides, {"compute": compute.name, "batch": batch})


def _per_patch(
    settings: RowSettings, *, formats: Sequence[str], dtype: torch.dtype | None = None
) -> Finding:
    """Times as fast as a forward pass for each patch set, on its own image.

    Args:
        settings: how much is measured.
        formats: that the mixed batch may be computed in.
        dtype: of plain modules, one a patch set; None: our own forward pass in the same format.
    """
    scene = make_scene(settings.width, 8)
    live, compute = fastest_live(scene, formats)
    variants = scene.variants(live)
    singles = scene.singles
    details = {"compute": compute.name}

    def own() -> list[Tensor]:
        return [
            live.predict_mixed(images, [variant])
            for images, variant in zip(singles, variants, strict=True)
        ]

    each: Action = own
    if dtype is not None:
        modules, details["against_layout"] = fastest_plain(scene, dtype)
        each = forward_each(modules, singles)
    sides = {"per_patch": each, "mixed": predicting(live, scene.images, variants)}
    return _throughput(settings, sides, details)


def _throughput(
    settings: RowSettings, sides: Mapping[str, Action], details: Mapping[str, object]
) -> Finding:
    inner = inner_for(sides["mixed"], seconds=0.02)
    return Finding.timed(settings, sides, details, inner=inner)


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
        packed = partial(_per_patch, formats=formats)
        rows.append(Row(f"{name}_packed", what, "one of our own a patch set", "", packed))
    return rows


ROWS = (
    Row(
        "switch_vs_copy",
        "build the variant of an 8-bit patch whose decoded codes are in memory",
        "plain copy of the same tensors",
        "≤ 2.5",
        lambda settings: _against_copy(settings, 1),
    ),
    Row(
        "switch_vs_reload",
        "the same, how many times faster",
        "reloading a patched checkpoint (safetensors, load_state_dict)",
        "≥ 20",
        _against_reload,
    ),
    Row(
        "compose10_vs_copy",
        "compose 10 patches into a variant",
        "one copy of the same tensors",
        "≤ 25",
        lambda settings: _against_copy(settings, 10),
    ),
    Row(
        "switch_vs_copy_cold",
        "build a variant when nothing of it is in any cache",
        "plain copy of the same tensors, likewise",
        "",
        _against_copy_cold,
    ),
    Row(
        "resident_vs_copy",
        "make a patch set active that is resident, or none",
        "plain copy of the tensors that it touches",
        "",
        _resident,
    ),
    Row(
        "first_predict_vs_ready",
        "one image with a patch set that is new: built, packed, predicted with",
        "one image with a patch set that is resident",
        "",
        _first_prediction,
    ),
    *_single_rows(),
    *_per_patch_rows(),
)
