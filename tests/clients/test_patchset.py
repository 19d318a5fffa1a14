import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from rwsstore_client import (
    Client,
    InvalidRequestError,
    NotFoundError,
    StaleGenerationError,
    TaLoss,
    UnknownPatchError,
)
from tests.clients.fake import FakeService


def test_stepwise(rws: Client) -> None:
    patchset = rws.model().patchset
    start = patchset.get()
    assert (start.generation, len(start), str(start)) == (0, 0, "none")
    fog = patchset.apply("fog", alpha=0.8)
    assert (fog.generation, fog["fog"].alpha) == (1, 0.8)
    both = patchset.apply("frost")
    assert [(one.patch, one.alpha) for one in both] == [("fog", 0.8), ("frost", 1.0)]
    assert patchset.scale("fog", alpha=0.5)["fog"].alpha == 0.5
    assert patchset.scale("fog", ta_loss=1.0)["fog"].alpha == 0.1
    less = patchset.remove("fog")
    assert "fog" not in less
    assert "frost" in less
    assert less["frost"].digest in less
    with pytest.raises(KeyError):
        less["fog"]
    assert patchset.clear().state_digest == start.state_digest
    assert patchset.get().generation == 6


def test_what_is_sent(rws: Client, fake: FakeService) -> None:
    patchset = rws.model().patchset
    sent: list[tuple[str, str, Any]] = []
    patchset.apply("fog")
    patchset.apply("fog", ta_loss=1)
    patchset.scale("fog")
    patchset.replace({"fog": 0.25, "frost": None, "gaussian_noise": TaLoss(0.5)}, if_match="*")
    for request in fake.seen:
        body = json.loads(request.content) if request.content else None
        sent.append((request.method, request.url.path, body))
    choices = [
        {"patch": "fog", "alpha": 0.25},
        {"patch": "frost"},
        {"patch": "gaussian_noise", "ta_loss": 0.5},
    ]
    where = "/v1/models/bundled/patchset"
    assert sent == [
        ("PUT", f"{where}/fog", None),
        ("PUT", f"{where}/fog", {"ta_loss": 1.0}),
        ("PATCH", f"{where}/fog", {}),
        ("PUT", where, {"patches": choices}),
    ]


def test_every_change_has_a_key_of_its_own(rws: Client, fake: FakeService) -> None:
    model = rws.model()
    model.patchset.apply("fog")
    model.patchset.replace({}, if_match="*")
    model.patchset.clear()
    model.patchset.rollback(1)
    rws.patches.compose("x", {"fog": 1})
    rws.patches.delete("x")
    keys = [request.headers["idempotency-key"] for request in fake.seen]
    assert len(set(keys)) == 6
    model.predict(b"x")
    model.patchset.get()
    assert all("idempotency-key" not in request.headers for request in fake.seen[6:])


def test_replace_in_each_form(rws: Client) -> None:
    patchset = rws.model().patchset
    first = patchset.replace("fog=0.5,frost", if_match="*")
    assert str(first) == "fog=0.5,frost=1.0"
    second = patchset.replace({"gaussian_noise": 0.25}, if_match=first)
    assert str(second) == "gaussian_noise=0.25"
    with pytest.raises(StaleGenerationError) as stale:
        patchset.replace({}, if_match=first.generation)
    assert stale.value.current_generation == second.generation
    again = patchset.replace(first, if_match=second.generation)
    assert again.state_digest == first.state_digest
    assert len(patchset.replace("none", if_match="*")) == 0


def test_if_match_guards_every_change(rws: Client) -> None:
    patchset = rws.model().patchset
    seen = patchset.apply("fog", if_match=0)
    changes: list[Callable[[], object]] = [
        lambda: patchset.apply("frost", if_match=0),
        lambda: patchset.scale("fog", alpha=1, if_match=0),
        lambda: patchset.remove("fog", if_match=0),
        lambda: patchset.clear(if_match=0),
        lambda: patchset.rollback(0, if_match=0),
    ]
    for change in changes:
        with pytest.raises(StaleGenerationError):
            change()
    assert patchset.get() == seen
    assert patchset.rollback(0, if_match=seen).generation == 2


def test_history_and_rollback(rws: Client) -> None:
    patchset = rws.model().patchset
    patchset.apply("fog", alpha=0.5)
    patchset.clear()
    back = patchset.rollback(1)
    assert str(back) == "fog=0.5"
    page = patchset.history(limit=2)
    assert [(one.generation, one.action) for one in page] == [(3, "rollback"), (2, "clear")]
    assert (page[0].rolled_back_to, page[0].actor, len(page)) == (1, "tests", 2)
    older = patchset.history(before=page.next_before)
    assert [one.generation for one in older] == [1, 0]
    with pytest.raises(NotFoundError):
        patchset.rollback(99)


def test_verify(rws: Client, fake: FakeService) -> None:
    assert rws.model().patchset.verify().ok
    fake.is_ready = False
    found = rws.model().patchset.verify()
    assert (found.ok, found.problems) == (False, ("features.0.weight differs",))


@pytest.mark.parametrize("alpha", [math.nan, math.inf, -math.inf])
def test_a_strength_that_json_cannot_hold_is_refused(
    rws: Client, fake: FakeService, alpha: float
) -> None:
    model = rws.model()
    changes: list[Callable[[], object]] = [
        lambda: model.patchset.apply("fog", alpha=alpha),
        lambda: model.patchset.scale("fog", ta_loss=alpha),
        lambda: model.patchset.replace({"fog": alpha}, if_match="*"),
        lambda: model.patchset.replace({"fog": TaLoss(alpha)}, if_match="*"),
        lambda: model.patchset.replace(f"fog={alpha}", if_match="*"),
        lambda: rws.patches.compose("x", {"fog": alpha}),
        lambda: model.predict(b"x", patchset={"fog": alpha}),
        lambda: model.patched({"fog": alpha}),
    ]
    for change in changes:
        with pytest.raises(ValueError, match="finite"):
            change()
    assert fake.seen == []


@pytest.mark.parametrize("alpha", [True, "0.5", [0.5]])
def test_a_strength_that_is_no_number_is_refused(
    rws: Client, fake: FakeService, alpha: Any
) -> None:
    with pytest.raises(TypeError, match="number"):
        rws.model().patchset.apply("fog", alpha=alpha)
    with pytest.raises(TypeError, match="number"):
        rws.model().patched({"fog": alpha})
    assert fake.seen == []


@pytest.mark.parametrize("text", ["active", "fog=", "fog=x", "fog,fog=1", "=1", "fog,,frost"])
def test_a_string_that_is_no_patch_set_is_refused(rws: Client, text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        rws.model().patchset.replace(text, if_match="*")


def test_something_else_is_no_patch_set(rws: Client) -> None:
    anything: Any = ["fog"]
    with pytest.raises(TypeError, match="no patch set"):
        rws.model().patchset.replace(anything, if_match="*")


def test_what_the_service_refuses(rws: Client, fake: FakeService) -> None:
    with pytest.raises(UnknownPatchError):
        rws.model().patchset.apply("smog")
    with pytest.raises(NotFoundError, match="not on"):
        rws.model().patchset.scale("fog", alpha=1)
    with pytest.raises(InvalidRequestError):
        rws.model().patchset.replace({}, if_match=None)  # type: ignore[arg-type]
