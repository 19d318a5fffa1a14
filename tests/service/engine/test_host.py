import asyncio
import threading
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import rwsstore.runtime.live as live_module
from rwsstore.errors import (
    ConfigError,
    GoldenError,
    MismatchError,
    StorageFullError,
    TensorError,
    UnknownPatchError,
)
from rwsstore.patches import PatchSet, compose
from rwsstore.runtime import Chosen, LiveModel
from rwsstore_service.engine import finding as editing
from rwsstore_service.engine.computing import Batch
from rwsstore_service.engine.errors import (
    DeadlineError,
    OverloadedError,
    StaleGenerationError,
    StoppingError,
    UnknownGenerationError,
)
from rwsstore_service.engine.finding import Choice
from rwsstore_service.engine.host import Active
from rwsstore_service.engine.journal import Journal, Recorded
from rwsstore_service.engine.queue import ReadyVariant
from rwsstore_service.engine.records import Note, PredictedImages
from tests.runtime.making import bare_patch, with_golden
from tests.service.engine.hosting import IMAGES, House, choices, model_of, same
from tests.service.engine.shelf import OPS


def verified(house: House) -> tuple[str, ...]:
    _, found = asyncio.run(house.host.verify())
    return found.problems


def kept(active: Active) -> Recorded:
    return Recorded("f" * 64, 200, str(active.generation), {})


def test_the_first_start_is_generation_one(house: House) -> None:
    active = house.host.active
    assert (active.generation, active.patches) == (1, ())
    (entry,) = house.journal.records(limit=9)
    assert (entry.action, entry.actor.name, entry.previous_digest) == ("start", "service", "")
    assert entry.state_digest == active.variant.digest
    assert house.told == [active]
    assert house.host.ready
    found = house.predict()
    assert (found.generation, found.patches) == (1, ())
    assert same(found.logits, house.expected())


def test_a_change_is_a_generation_that_serves(house: House) -> None:
    before = house.host.active
    active = house.want(fog=0.5, rain=1.0)
    assert house.host.active is active
    assert active.generation == 2
    assert house.told == [before, active]
    entry = house.journal.latest("tiny")
    assert entry is not None
    assert (entry.actor, entry.action, entry.subject) == (OPS, "replace", "tiny")
    assert entry.patches == active.patches
    assert entry.resolved == active.variant.resolved
    assert (entry.previous_digest, entry.state_digest) == (
        before.variant.digest,
        active.variant.digest,
    )
    found = house.predict()
    assert (found.generation, found.state_digest) == (2, active.variant.digest)
    assert same(found.logits, house.expected(fog=0.5, rain=1.0))
    assert verified(house) == ()


def test_everything_off_is_the_clean_model_to_the_bit(house: House) -> None:
    clean = house.predict()
    house.want(fog=0.5)
    house.want(fog=1.0, snow=0.25)
    house.change(editing.clear())
    found = house.predict()
    assert (found.generation, found.state_digest) == (4, clean.state_digest)
    assert same(found.logits, clean.logits)


@pytest.mark.parametrize("order", [("fog", "rain"), ("rain", "fog")])
def test_what_is_so_already_is_no_generation(house: House, order: tuple[str, ...]) -> None:
    active = house.want(fog=0.5, rain=0.5)
    assert house.want(**dict.fromkeys(order, 0.5)) is active
    assert house.change(editing.apply(house.host.finder, Choice(order[0], 0.5))) is active
    assert house.change(lambda now: now) is active
    assert len(house.journal.records(limit=9)) == 2
    assert len(house.told) == 2


def test_the_answer_of_a_change_is_kept_with_it(house: House) -> None:
    edit = editing.replace(house.host.finder, choices({"fog": 0.5}))
    active = house.change(edit, key="once", answer=kept)
    assert house.journal.recall("ops", "once") == kept(active)
    house.change(edit, key="twice", answer=kept)
    assert house.journal.recall("ops", "twice") == kept(active)
    assert house.host.active.generation == 2


def test_a_stale_change_is_not_even_looked_at(house: House) -> None:
    house.want(fog=0.5)
    with pytest.raises(StaleGenerationError, match="2 is active") as caught:
        house.change(lambda _: pytest.fail("edited"), expected=frozenset({1, 5}))
    assert caught.value.current == 2
    for nothing in (frozenset[int](), frozenset({3})):
        with pytest.raises(StaleGenerationError):
            house.change(editing.clear(), expected=nothing)
    assert house.change(editing.clear(), expected=frozenset({2})).generation == 3


def test_rolling_back_is_by_what_was_on(house: House) -> None:
    first = house.want(fog=0.5, rain=0.25)
    house.want(snow=1.0)
    back = house.change(lambda _on: house.host.generation(2).patches, rolled_back_to=2)
    assert (back.generation, back.patches) == (4, first.patches)
    assert back.variant.digest == first.variant.digest
    entry = house.journal.generation("tiny", 4)
    assert entry is not None
    assert entry.rolled_back_to == 2
    with pytest.raises(UnknownGenerationError, match="4 is active"):
        house.host.generation(5)


def test_a_prediction_brings_its_own(house: House) -> None:
    active = house.want(fog=0.5)
    found = house.predict("rain=0.5,snow=1")
    assert found.generation is None
    assert [(one.patch, one.alpha) for one in found.patches] == [("rain", 0.5), ("snow", 1.0)]
    assert same(found.logits, house.expected(rain=0.5, snow=1.0))
    none = house.predict("none")
    assert (none.generation, none.patches) == (None, ())
    assert same(none.logits, house.expected())
    assert house.predict().generation == active.generation


def test_what_is_on_names_composed_patches_and_their_parts(house: House) -> None:
    parts = [(house.store.get(name), 0.5) for name in ("fog", "rain")]
    composed = house.store.publish(compose("both", parts)).digest
    active = house.want(both=1.0, snow=0.5)
    expected = {composed, *(house.store.resolve(name) for name in ("fog", "rain", "snow"))}
    assert house.host.digests_on == expected
    assert same(house.predict().logits, house.expected(fog=0.5, rain=0.5, snow=0.5))
    assert len(active.variant.resolved) == 3
    with pytest.raises(ConfigError, match="twice"):
        house.want(both=1.0, fog=0.5)


REFUSED = [
    ({"smog": 1.0}, UnknownPatchError),
    ({"fog": 2.5}, ConfigError),
    ({"fog": float("nan")}, ConfigError),
    ({"liar": 1.0}, GoldenError),
    ({"foreign": 1.0}, MismatchError),
    ({"alien": 1.0}, MismatchError),
    ({"overflowing": 1e6}, TensorError),
    ({"blinding": 1.0}, TensorError),
]


def check_unchanged(house: House, before: Active) -> None:
    assert house.host.active is before
    entry = house.journal.latest("tiny")
    assert entry is not None
    assert entry.generation == before.generation
    assert house.told[-1] is before
    found = house.predict()
    assert found.state_digest == before.variant.digest
    assert same(found.logits, house.expected(fog=0.5))
    assert verified(house) == ()


@pytest.mark.parametrize(("strengths", "error"), REFUSED)
def test_what_is_refused_changes_nothing(
    house: House, strengths: dict[str, float], error: type[Exception]
) -> None:
    before = house.want(fog=0.5)
    with pytest.raises(error):
        house.want(rain=0.5, **strengths)
    text = ",".join(f"{name}={alpha}" for name, alpha in strengths.items())
    with pytest.raises(error):
        house.predict(text)
    check_unchanged(house, before)


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_given: object, **_named: object) -> None:
        raise error

    return fail


def test_a_journal_that_cannot_be_written_changes_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = house.want(fog=0.5)
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", raising(StorageFullError("no space")))
        with pytest.raises(StorageFullError):
            house.want(rain=1.0)
    check_unchanged(house, before)
    assert house.want(rain=1.0).generation == 3


def test_an_answer_that_cannot_be_made_changes_nothing(house: House) -> None:
    before = house.want(fog=0.5)
    with pytest.raises(KeyError):
        house.change(editing.clear(), key="once", answer=raising(KeyError("x")))
    check_unchanged(house, before)


@pytest.mark.parametrize("name", ["build_variant", "PatchSet"])
def test_a_failure_in_the_middle_of_building_changes_nothing(
    house: House, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = house.want(fog=0.5)
    with monkeypatch.context() as patched:
        broken = raising(RuntimeError("out of luck"))
        if name == "PatchSet":
            patched.setattr(PatchSet, "of", broken)
        else:
            patched.setattr(live_module, name, broken)
        with pytest.raises(RuntimeError, match="out of luck"):
            house.want(rain=1.0)
    check_unchanged(house, before)


def test_a_change_is_written_down_before_it_serves(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, append = house.host.active, Journal.append
    seen: list[Active] = []

    def noting(journal: Journal, *given: Note, **named: object) -> object:
        seen.append(house.host.active)
        seen.append(Active((), house.host.live.active, 0, before.at))
        return append(journal, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "append", noting)
    house.want(fog=0.5)
    assert seen[0] is before
    assert seen[1].variant is before.variant


def test_a_changed_bit_in_memory_is_found(house: House) -> None:
    house.want(fog=0.5)
    name = house.host.active.variant.patched[0]
    weights = house.host.active.variant.state()[name]
    weights.view(torch.int32).view(-1)[0] ^= 1
    (problem,) = verified(house)
    assert name in problem


def test_what_a_text_means(house: House) -> None:
    def choose(text: str) -> object:
        return asyncio.run(house.host.choose(text))

    assert choose("active") is None
    assert choose("none") == ()
    assert choose("fog=0.5") == (Chosen("fog", house.store.resolve("fog"), 0.5),)
    with pytest.raises(UnknownPatchError):
        choose("smog")


def test_a_stopped_host_refuses(house: House) -> None:
    active = house.host.active
    house.host.stop(30)
    assert not house.host.ready
    with pytest.raises(StoppingError):
        house.predict()
    with pytest.raises(StoppingError):
        house.want(fog=0.5)
    assert house.host.active is active
    assert len(house.journal.records(limit=9)) == 1


def test_too_many_predictions_are_refused(house: House) -> None:
    house.again(queue_size=2)
    gate = threading.Event()
    house.host._inference.call(lambda: gate.wait(30))

    async def ask() -> list[object]:
        asked = [asyncio.ensure_future(house.host.predict(IMAGES, None)) for _ in range(3)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert house.host.waiting == 2
        gate.set()
        await asyncio.wait(asked)
        return [one.exception() for one in asked]

    first, second, third = asyncio.run(ask())
    assert (first, second) == (None, None)
    assert isinstance(third, OverloadedError)


def waiting_for(house: House, count: int, *patchsets: str) -> list[PredictedImages]:
    """Predictions that came in while the thread was busy, and what was asked meanwhile."""
    gate = threading.Event()
    house.host._inference.call(lambda: gate.wait(30))

    async def ask() -> list[PredictedImages]:
        asked = [
            asyncio.ensure_future(house.host.predict(IMAGES, await house.host.choose(text)))
            for text in patchsets
        ]
        while house.host.waiting < count:
            await asyncio.sleep(0)
        gate.set()
        return list(await asyncio.gather(*asked))

    return asyncio.run(ask())


def test_different_patch_sets_are_one_batch(house: House) -> None:
    house.want(snow=0.5)
    batches: list[Batch] = []
    house.host._inference._on_batch = batches.append
    found = waiting_for(house, 4, "active", "fog=0.5", "none", "fog=1,rain=0.25")
    assert [(one.images, one.jobs, one.patch_sets) for one in batches] == [(12, 4, 4)]
    wanted: list[dict[str, float]] = [
        {"snow": 0.5}, {"fog": 0.5}, {}, {"fog": 1.0, "rain": 0.25},
    ]  # fmt: skip
    offline = LiveModel(house.model, house.store)
    for one, strengths in zip(found, wanted, strict=True):
        assert one.state_digest == offline.variant(strengths).digest
        assert torch.allclose(one.logits, house.expected(IMAGES, **strengths), rtol=1e-5, atol=1e-5)
        assert {patch.patch: patch.alpha for patch in one.patches} == strengths
    assert [one.generation for one in found] == [2, None, None, None]


def test_one_that_cannot_be_built_leaves_the_others_alone(house: House) -> None:
    async def ask() -> list[object]:
        wanted = [await house.host.choose(text) for text in ("fog=0.5", "alien=1", "fog=0.5")]
        gate = threading.Event()
        house.host._inference.call(lambda: gate.wait(30))
        asked = [asyncio.ensure_future(house.host.predict(IMAGES, one)) for one in wanted]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.wait(asked)
        return [one.exception() for one in asked]

    first, second, third = asyncio.run(ask())
    assert (first, third) == (None, None)
    assert isinstance(second, MismatchError)


@pytest.fixture
def trials(house: House, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """State digests of what is tried on some images."""
    tried: list[str] = []
    trial = house.host._inference.trial

    def noting(images: Tensor, ready: ReadyVariant) -> object:
        tried.append(ready.variant.digest)
        return trial(images, ready)

    monkeypatch.setattr(house.host._inference, "trial", noting)
    return tried


def test_what_was_found_finite_is_not_tried_again(house: House, trials: list[str]) -> None:
    for seed, name in enumerate(("loud", "louder")):  # finite, but not by their weights alone
        house.store.publish(bare_patch(house.model, name, seed=seed, scale=1e9, layers=3, bits=32))
    first = house.want(loud=0.5).variant.digest
    second = house.want(louder=0.5).variant.digest
    house.want(loud=0.5)
    house.change(editing.clear())
    house.want(louder=0.5)
    assert trials == [first, second]
    assert house.host.active.generation == 6


def test_what_cannot_overflow_is_not_tried(house: House, trials: list[str]) -> None:
    house.want(fog=0.5, rain=2.0)
    house.want(snow=1.0)
    assert trials == []


def test_a_prediction_that_is_too_late_is_refused(house: House) -> None:
    gate = threading.Event()
    house.host._inference.call(lambda: gate.wait(30))
    long_ago = time.perf_counter() - 100

    async def ask(**asked: float) -> None:
        await house.host.predict(IMAGES, None, **asked)

    for asked in ({"asked_at": long_ago}, {"asked_at": long_ago, "timeout": 99.0}):
        with pytest.raises(DeadlineError):
            asyncio.run(ask(**asked))
    assert house.host.waiting == 0
    gate.set()
    asyncio.run(ask(asked_at=long_ago, timeout=3600.0))


def test_a_prediction_waits_as_long_as_the_setting_says(house: House) -> None:
    house.again(queue_timeout=200)
    asked_at = time.perf_counter() - 100
    asyncio.run(house.host.predict(IMAGES, None, asked_at=asked_at))


def test_what_a_name_means_is_looked_up_whenever_it_changes(house: House) -> None:
    first = house.predict("fog=0.5")
    newer = with_golden(model_of(), bare_patch(model_of(), "fog", seed=9))
    house.store.publish(newer)
    second = house.predict("fog=0.5")
    assert [one.digest for one in second.patches] == [newer.digest]
    assert first.state_digest != second.state_digest


def test_a_model_without_names_has_numbers(house: House) -> None:
    assert house.host.classes == ("red", "green", "blue")
    unnamed = model_of(2)
    unnamed.spec = unnamed.spec.model_copy(update={"classes": ()})
    house.again(model=unnamed)
    assert house.host.classes == ("0", "1", "2")
