"""Rows of switching: a variant built, against a plain copy and against reloading a checkpoint."""

import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rwsstore.models import ModelSpec, build
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.speed import inner_for, time_pairs, timings
from rwsstore.speed.measuring import Action, Pairs
from rwsstore.speed.subjects import copying, patched_names, predicting, strengths, switching
from speed_rows.making import FLOAT, Scene, fastest_live, make_scene
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
    many = settings.repeats if settings.smoke else 5 * settings.repeats  # each is quick
    pairs = time_pairs(switch, copy, repeats=many, warm_up=settings.warm_up, inner=_INNER)
    head = sum(scene.model.state_dict()[name].numel() for name in names)
    return Finding.of(pairs, ("switch", "copy"), head_parameters=head, patches=count)


def _against_reload(settings: RowSettings) -> Finding:
    scene = make_scene(settings.width, 1)
    state = scene.variants(scene.live("float32"))[0].state()
    with tempfile.TemporaryDirectory() as folder:
        pairs = time_pairs(
            _reloading(state, scene.model.spec, Path(folder)),
            _switching(scene),
            repeats=settings.repeats,
            warm_up=settings.warm_up,
            inner=_INNER,
        )
    return Finding.of(pairs, ("reload", "switch"))


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
    pairs = time_pairs(
        lambda: live.set_patches(next(turns)),
        copy,
        repeats=settings.repeats,
        warm_up=settings.warm_up,
        inner=inner_for(copy),
    )
    return Finding.of(pairs, ("activate", "copy"))


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

    pairs = time_pairs(
        new,
        predicting(live, scene.images, ready),
        repeats=settings.repeats,
        warm_up=settings.warm_up,
    )
    return Finding.of(pairs, ("new", "ready"), compute=compute.name)


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
)
