"""The asynchronous client says and does what the blocking one does."""

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import rwsstore_client
from rwsstore_client import AsyncClient, Client, NotFoundError, RwsClientError
from scripts.blocking_half import SDK, blocking_half
from tests.clients.fake import TOKEN, FakeService, served

PAIRS = [
    (getattr(rwsstore_client, name), getattr(rwsstore_client, f"Async{name}"))
    for name in rwsstore_client.__all__
    if f"Async{name}" in rwsstore_client.__all__
]
ASKS_NOTHING = {"model", "patched"}


def members(kind: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in vars(kind).items()
        if callable(member) and (not name.startswith("_") or name == "__init__")
    }


def signature(member: Callable[..., Any]) -> str:
    text = str(inspect.signature(member))
    return re.sub(r"\bAsync(?=[A-Z])", "", text)


def test_there_are_pairs() -> None:
    names = {blocking.__name__ for blocking, _ in PAIRS}
    assert names == {"ActivePatchSet", "Client", "Model", "PatchedModel", "Patches"}


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_signatures_are_equal(blocking: type, asynchronous: type) -> None:
    first, second = members(blocking), members(asynchronous)
    assert list(first) == list(second)
    for name, member in first.items():
        assert not inspect.iscoroutinefunction(member), name
        waits = inspect.iscoroutinefunction(second[name])
        assert waits == (name != "__init__" and name not in ASKS_NOTHING), name
        if name != "__init__" or blocking is Client:
            own, other = signature(member), signature(second[name])
            assert other.replace("AsyncBaseTransport", "BaseTransport") == own, name
            assert "->" in own
    assert {n for n, m in vars(blocking).items() if isinstance(m, property)} == {
        n for n, m in vars(asynchronous).items() if isinstance(m, property)
    }


def test_the_blocking_half_is_what_is_made_of_the_other() -> None:
    """`python scripts/blocking_half.py` writes it."""
    made = blocking_half()
    half = SDK / "_sync"
    assert sorted(made) == sorted(path.name for path in half.glob("*.py"))
    for name, text in made.items():
        assert text.startswith("# Generated from")
        assert (half / name).read_text(encoding="utf-8") == text, name


Run = Callable[[Callable[[AsyncClient], Awaitable[None]]], None]


def test_the_whole_way(on_a_loop: Run, fake: FakeService, tmp_path: Path) -> None:
    async def use(rws: AsyncClient) -> None:
        assert await rws.live()
        assert await rws.ready()
        assert [model.name for model in await rws.models()] == ["bundled"]
        model = rws.model()
        assert (await model.info()).classes == ("cat", "dog")
        fog = await model.patchset.apply("fog", alpha=0.8)
        assert (await model.patchset.get()) == fog
        await model.patchset.scale("fog", alpha=0.5)
        await model.patchset.remove("fog")
        await model.patchset.replace({"frost": 1}, if_match="*")
        await model.patchset.clear()
        await model.patchset.rollback(1)
        assert len(await model.patchset.history()) == 7
        assert [one.action for one in await rws.audit(limit=1)] == ["rollback"]
        assert (await model.patchset.verify()).ok
        async with model.patched({"frost": 0.25}) as scene:
            answer = await scene.predict([b"a", b"b"])
        assert (answer.labels, str(answer.patches[0].alpha)) == (("byte 97", "byte 98"), "0.25")
        assert (await model.predict(b"x")).generation == 6

    on_a_loop(use)


def test_patches(on_a_loop: Run, fake: FakeService, tmp_path: Path) -> None:
    async def use(rws: AsyncClient) -> None:
        assert len(await rws.patches.list()) == 3
        file = await rws.patches.download("fog", tmp_path / "fog")
        assert file.read_bytes() == await rws.patches.content("fog") == b"fog"
        made = await rws.patches.upload(file, name="mine")
        assert (await rws.patches.get("mine")) == made
        await rws.patches.compose("both", {"fog": 1, "mine": 1})
        await rws.patches.delete("both")
        with pytest.raises(NotFoundError):
            await rws.patches.get("both")

    on_a_loop(use)


def test_many_images_go_in_several_requests(on_a_loop: Run, fake: FakeService) -> None:
    async def use(rws: AsyncClient) -> None:
        model = rws.model("bundled")
        assert repr(model).startswith("AsyncModel('bundled' at http")
        assert repr(model.patched("fog=1")) == "AsyncPatchedModel('bundled' with fog=1)"
        answer = await model.predict([b"a", b"b", b"c"], batch=2)
        assert answer.labels == ("byte 97", "byte 98", "byte 99")
        with pytest.raises(ValueError, match="batch is 0"):
            await model.predict([b"a"], batch=0)

    on_a_loop(use)


def test_a_composition_says_which_version_it_expects(on_a_loop: Run, fake: FakeService) -> None:
    async def use(rws: AsyncClient) -> None:
        await rws.patches.compose("both", {"fog": 1, "frost": 1}, expected_version=0)
        assert json.loads(fake.seen[-1].content)["expected_version"] == 0

    on_a_loop(use)


def test_a_closed_client_says_so_and_sends_nothing(on_a_loop: Run, fake: FakeService) -> None:
    async def use(rws: AsyncClient) -> None:
        await rws.close()
        with pytest.raises(RwsClientError, match="is closed, and nothing was sent"):
            await rws.ready()  # that nobody answers would be no answer

    on_a_loop(use)
    with Client(token=TOKEN, transport=fake.transport) as blocking:
        pass
    with pytest.raises(RwsClientError, match="is closed, and nothing was sent"):
        blocking.models()
    assert fake.seen == []


def test_it_sends_what_the_blocking_one_sends(on_a_loop: Run, fake: FakeService) -> None:
    async def use(rws: AsyncClient) -> None:
        model = rws.model("bundled")
        await model.patchset.apply("fog", ta_loss=1)
        await model.predict([b"a", b"b"], top_k=2, patchset="none", timeout_ms=90)
        await model.patched("none").predict(b"a", timeout_ms=90)
        await rws.patches.list(fits=True)

    on_a_loop(use)
    ours, fake.seen = fake.seen, []
    with Client(token=TOKEN, transport=fake.transport) as rws:
        model = rws.model("bundled")
        model.patchset.apply("fog", ta_loss=1)
        model.predict([b"a", b"b"], top_k=2, patchset="none", timeout_ms=90)
        model.patched("none").predict(b"a", timeout_ms=90)
        rws.patches.list(fits=True)
    assert len(ours) == len(fake.seen)
    for one, other in zip(ours, fake.seen, strict=True):
        assert (one.method, one.url) == (other.method, other.url)
        assert one.headers.keys() == other.headers.keys()


def test_requests_run_side_by_side(fake: FakeService) -> None:
    async def both() -> list[str]:
        together = asyncio.Barrier(2)

        async def handle(request: httpx.Request) -> httpx.Response:
            await together.wait()
            return fake.handle(request)

        async with AsyncClient(transport=httpx.MockTransport(handle)) as rws:
            model = rws.model()
            answers = await asyncio.gather(model.predict(b"a"), model.predict(b"b"))
        return [answer.top1.label for answer in answers]

    assert asyncio.run(both()) == ["byte 97", "byte 98"]


def test_over_a_real_socket(fake: FakeService) -> None:
    async def use(url: str) -> str:
        async with AsyncClient(url, TOKEN) as rws:
            assert await rws.ready()
            assert repr(rws) == f"AsyncClient('{url}')"
            return str(await rws.model().patchset.apply("fog"))

    with served(fake.handle) as url:
        assert asyncio.run(use(url)) == "fog=1.0"
        fake.is_ready = False

        async def is_ready() -> bool:
            async with AsyncClient(url) as rws:
                return await rws.ready()

        assert not asyncio.run(is_ready())
