"""Eight clients predict, each request with a patch set of its own choice, while others change the
active one: nothing is ever half of anything."""

import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import torch

from rwsstore.bundled import bundled_model
from rwsstore.patches import Patch, parse_request
from rwsstore_service.engine.journal import Journal
from tests.e2e.running import Offline, open_store, pictures, running
from tests.e2e.traffic import NAMES, Seen, Traffic, ask_for_logits, history_of, pairs
from tests.runtime.making import bare_patch, with_golden
from tests.service.box import ADMIN, Box

Close = Callable[[torch.Tensor, torch.Tensor], bool]

_WITHIN: Close = partial(torch.allclose, rtol=1e-5, atol=1e-5)
_NEAR: Close = partial(torch.allclose, rtol=1e-4, atol=1e-4)
# Of probabilities in double precision, each computed anew; a bit of a logit is 1e-7 of them.
_SAME: Close = partial(torch.allclose, rtol=1e-12, atol=1e-15)
_WAYS = pytest.mark.parametrize(
    ("batching", "compute", "close"),
    [
        ("false", "auto", torch.equal),
        ("true", "float32", _WITHIN),
        ("true", "packed", _NEAR),
    ],
    ids=["alone", "in batches", "in packed batches"],
)
_HEADERS = {"Authorization": f"Bearer {ADMIN}"}


def liar() -> Patch:
    """Its golden logits are another patch's: it is refused when it is about to go on."""
    model = bundled_model()
    honest = with_golden(model, bare_patch(model, "liar", scale=0.01), size=32)
    other = with_golden(model, bare_patch(model, "liar", scale=0.02, seed=1), size=32)
    assert honest.golden is not None
    assert other.metadata.golden is not None
    return other.with_evidence(card=None, golden=honest.golden, probe=other.metadata.golden)


def too_strong() -> Patch:
    """Finite weights that give no finite logits."""
    return bare_patch(bundled_model(), "too-strong", scale=1e16, layers=3, bits=32)


def check_history(traffic: Traffic, history: dict[int, dict[str, object]]) -> None:
    """What was acknowledged is in the history, in one unbroken line."""
    assert sorted(history) == list(range(1, max(history) + 1))
    entries = [history[number] for number in sorted(history)]
    for before, after in pairwise(entries):
        assert after["previous_state_digest"] == before["state_digest"]
        assert (after["state_digest"], after["patches"]) != (
            before["state_digest"],
            before["patches"],
        )
    made: dict[int, str] = {}
    for one in traffic.made:
        number = one.answer["generation"]
        entry = history[number]
        for member in ("state_digest", "patches", "resolved", "at"):
            assert one.answer[member] == entry[member]
        if one.matched is not None:  # either nothing was to be done, or it is the very next one
            assert number in (one.matched, one.matched + 1)
        if entry["action"] == one.action:
            made[number] = one.action
    assert {number for number in history if number > 1} == set(made)


def check_predictions(
    seen: list[Seen], history: dict[int, dict[str, object]], offline: Offline, close: Close
) -> None:
    """Every answer is what the library computes with the patch set that it names."""
    known: dict[tuple[str, int, torch.dtype], torch.Tensor] = {}
    for one in sorted(seen, key=lambda one: one.digest):  # most patch sets are built once
        if one.patchset == "active":
            assert one.generation is not None
            assert one.generation >= one.at_least  # nobody is served what is known to be gone
            wanted = pairs(history[one.generation]["resolved"])  # type: ignore[arg-type]
            assert one.digest == history[one.generation]["state_digest"]
        else:
            assert one.generation is None
            found = parse_request(one.patchset)
            wanted = tuple((name, alpha) for name, alpha in found.items() if alpha is not None)
        place = (one.digest, one.batch, one.images.dtype)
        if place not in known:
            assert offline.state_digest(wanted) == one.digest
            known[place] = offline.logits(wanted, one.images)
        logits = known[place]
        if one.is_logits:
            assert close(one.numbers, logits), one
        else:
            wanted_numbers = torch.softmax(logits.double(), dim=1).topk(10, dim=1).values
            same = _SAME if close is torch.equal else close
            assert same(one.numbers, wanted_numbers), one


def check_mixing(http: httpx.Client, batching: str) -> None:
    """Requests with different patch sets were computed together, if they were to be."""
    text = http.get("/metrics").text
    count, total = (
        float(text.split(f"rwsstore_batch_patch_sets_{part} ")[1].split()[0])
        for part in ("count", "sum")
    )
    assert (total > count) == (batching == "true")


def check_removal(http: httpx.Client, offline: Offline) -> None:
    """With everything off, the clean model computes: the same weights, the same bits."""
    http.delete("/v1/models/bundled/patchset").raise_for_status()
    found = [ask_for_logits(http, pictures(3), patchset) for patchset in ("active", "none")]
    digests = {about["state_digest"] for about, _ in found}
    assert digests == {offline.state_digest(())}
    assert torch.equal(found[0][1], found[1][1])
    verified = http.get("/v1/models/bundled/patchset", params={"verify": True}).json()
    assert verified["ok"], verified


def check_rest(folder: Path) -> None:
    """Nothing is left over once the service has ended."""
    assert open_store(folder).fsck().findings == ()
    with Journal(folder / "state") as journal:
        assert journal.verify() == ()


@_WAYS
def test_predictions_while_patch_sets_change(
    tmp_path: Path, batching: str, compute: str, close: Close
) -> None:
    with running(tmp_path, batching=batching, compute=compute) as service:
        bad = {"liar": 422, "too-strong": 422}
        for patch in (liar(), too_strong()):
            service.upload(patch)
        traffic = Traffic(service.url, bad)
        traffic.run(predictors=8, predictions=8, changers=2, changes=16)
        history = history_of(service.http)
        assert service.get("/patchset", verify=True)["ok"]
        check_mixing(service.http, batching)
        check_removal(service.http, Offline(tmp_path))
    assert len(traffic.seen) == 8 * 8
    check_history(traffic, history)
    check_predictions(traffic.seen, history, Offline(tmp_path), close)
    on = {one["digest"] for entry in history.values() for one in entry["patches"]}
    assert on <= {open_store(tmp_path).resolve(name) for name in NAMES}
    check_rest(tmp_path)


@pytest.mark.soak
@_WAYS
def test_a_long_time_of_it_in_a_process_of_its_own(
    tmp_path: Path, batching: str, compute: str, close: Close
) -> None:
    variables = {"RWS_BATCHING": batching, "RWS_COMPUTE": compute, "RWS_RATE_LIMIT": "0"}
    with Box(tmp_path, variables) as box:
        traffic = Traffic(box.url)
        traffic.run(predictors=8, predictions=150, changers=2, changes=300)
        with httpx.Client(base_url=box.url, headers=_HEADERS) as http:
            history = history_of(http)
            verified = http.get("/v1/models/bundled/patchset", params={"verify": True})
            assert verified.json()["ok"]
            check_mixing(http, batching)
            check_removal(http, Offline(tmp_path))
    check_history(traffic, history)
    check_predictions(traffic.seen, history, Offline(tmp_path), close)
    check_rest(tmp_path)


def killed_while_changing(box: Box, seed: int, after: int) -> Traffic:
    """Change the patch set without a pause, and end the service as a power cut would."""
    traffic, enough = Traffic(box.url), threading.Event()
    changer = threading.Thread(target=traffic.change_until_cut, args=(seed, after, enough))
    changer.start()
    assert enough.wait(120)
    box.kill()
    changer.join()
    assert len(traffic.made) >= after
    return traffic


def check_survived(box: Box, traffic: Traffic, offline: Offline) -> None:
    """The last acknowledged change is on, or the one after; all of it is sound."""
    last = traffic.made[-1].answer
    with httpx.Client(base_url=box.url, headers=_HEADERS, timeout=60) as http:
        active = http.get("/v1/models/bundled/patchset").json()
        history = history_of(http)
        verified = http.get("/v1/models/bundled/patchset", params={"verify": True}).json()
    assert active["generation"] - last["generation"] in (0, 1)
    assert active["state_digest"] == history[active["generation"]]["state_digest"]
    check_acknowledged(traffic, history)
    assert offline.state_digest(pairs(active["resolved"])) == active["state_digest"]
    assert verified["ok"], verified
    assert verified["state_digest"] == active["state_digest"]


def check_acknowledged(traffic: Traffic, history: dict[int, dict[str, object]]) -> None:
    for one in traffic.made:
        assert history[one.answer["generation"]]["state_digest"] == one.answer["state_digest"]


@pytest.mark.parametrize(
    "kills", [1, pytest.param(12, marks=pytest.mark.soak)], ids=["once", "a dozen times"]
)
def test_killed_in_the_middle_of_changes(tmp_path: Path, kills: int) -> None:
    offline = Offline(tmp_path)
    with Box(tmp_path, {"RWS_RATE_LIMIT": "0"}) as box:
        for kill in range(kills):
            traffic = killed_while_changing(box, seed=kill, after=20 + kill)
            check_rest(tmp_path)
            box.start()
            check_survived(box, traffic, offline)
    check_rest(tmp_path)
