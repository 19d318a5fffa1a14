"""The box in use, through the SDK: patched, asked, stopped and started."""

__all__ = ["check_backup", "check_push", "check_restart", "drive", "whole_history"]

import random
import sys
import tempfile
from pathlib import Path

from PIL import Image

from rwsstore.bundled import bundled_store
from rwsstore_client import Client, Generation, Model, Predictions, UnauthorizedError
from scripts.boxtest.box import Box
from scripts.boxtest.checks import expect
from scripts.boxtest.engine import Failed, run

_SCENE = {"fog": 0.5, "contrast": 0.25}


def drive(box: Box) -> None:
    """Apply, scale, compose, predict, remove; what is taken off leaves no trace.

    Raises:
        Failed: an answer is not as it should be.
    """
    with Client(box.url, box.token, retries=0) as rws:
        model = rws.model("bundled")
        expect("patches", len(rws.patches.list(fits=True)), len(bundled_store().list()))
        clean = _predict(model)
        fog = model.patchset.apply("fog", alpha=0.75)
        expect("state of a prediction", _predict(model).state_digest, fog.state_digest)
        scaled = model.patchset.scale("fog", alpha=0.5)
        expect("generation", scaled.generation, fog.generation + 1)
        expect("strength", scaled["fog"].alpha, 0.5)
        rws.patches.compose("box_scene", _SCENE)
        composed = model.patchset.replace({"box_scene": 1.0}, if_match=scaled)
        _check_scene(model, clean, composed.state_digest)
        model.patchset.remove("box_scene", if_match=composed)
        expect("the clean model", _told(_predict(model)), _told(clean))
        model.patchset.replace(_SCENE, if_match="*")
        expect("weights as freshly made", model.patchset.verify().problems, ())
    _check_guarded(box)


def check_push(box: Box) -> None:
    """Send a patch from a store on this machine, as from a workstation.

    Raises:
        Failed: it did not arrive.
    """
    with tempfile.TemporaryDirectory() as store, Client(box.url, box.token, retries=0) as rws:
        there = {"RWS_STORE": store, "RWS_URL": box.url, "RWS_TOKEN": box.token}
        command = [sys.executable, "-m", "rwsstore"]
        run([*command, "compose", "pushed", "snow=0.5,frost=0.25"], environment=there)
        run([*command, "remote", "push", "pushed"], environment=there)
        parts = {part.name: part.alpha for part in rws.patches.get("pushed").parts}
        expect("parts of the pushed patch", parts, {"snow": 0.5, "frost": 0.25})


def check_restart(box: Box) -> None:
    """Stop the service in good order and start it: all that was stored is still there.

    Raises:
        Failed: something was lost, or it did not stop by itself.
    """
    before = _state(box)
    box.compose("stop", "rwsstore")
    expect("exit status", box.inspect()["State"]["ExitCode"], 0)
    box.start()
    _check_same(before, _state(box), "a restart")


def check_backup(box: Box) -> None:
    """Back the volume up, remove everything, set the box up anew and restore it.

    Raises:
        Failed: something was lost.
    """
    before = _state(box)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "backup.tgz")
        box.compose("stop", "rwsstore")
        box.back_up(file)
        box.down()
        box.restore(file)
    box.up()
    _check_same(before, _state(box), "a restored backup")


def whole_history(model: Model) -> list[Generation]:
    """Read all generations, the newest first."""
    found: list[Generation] = []
    before: int | None = None
    while True:
        page = model.patchset.history(limit=1000, before=before)
        found += page.generations
        if page.next_before is None:
            return found
        before = page.next_before


def _check_scene(model: Model, clean: Predictions, composed: str) -> None:
    """Check a composed patch against its parts, brought along by one request."""
    active = _predict(model)
    expect("state of the composed patch", active.state_digest, composed)
    if _told(active) == _told(clean):
        raise Failed("a prediction with patches is that of the clean model")
    with model.patched(_SCENE) as scene:
        brought = scene.predict(_image(), top_k=10)
    expect("a request's own patch set", brought.state_digest, composed)
    expect("its generation", brought.generation, None)


def _check_guarded(box: Box) -> None:
    with Client(box.url, "", retries=0) as stranger:
        try:
            stranger.model("bundled").patchset.clear()
        except UnauthorizedError:
            return
    raise Failed("a stranger cleared the patch set")


def _state(box: Box) -> dict[str, object]:
    """All that must survive, as the service tells it."""
    with Client(box.url, box.token, retries=0) as rws:
        model = rws.model("bundled")
        return {
            "patch set": model.patchset.get(),
            "history": whole_history(model),
            "prediction": _told(_predict(model)),
            "patches": rws.patches.list(all_versions=True),
        }


def _check_same(before: dict[str, object], after: dict[str, object], what: str) -> None:
    for key, value in before.items():
        expect(f"{key} after {what}", after[key], value)


def _image() -> Image.Image:
    return Image.frombytes("RGB", (32, 32), random.Random(0).randbytes(32 * 32 * 3))


def _predict(model: Model) -> Predictions:
    return model.predict(_image(), top_k=10)


def _told(answer: Predictions) -> tuple[object, ...]:
    """What must be equal where the weights are: all but times and the generation's number."""
    return answer.state_digest, answer.predictions
