import pickle

import httpx
import pytest

from rwsstore_client import (
    ApiError,
    AsyncClient,
    Client,
    NotFoundError,
    ProtocolError,
    UnauthorizedError,
)
from rwsstore_client._transport import resolve
from tests.clients.fake import TOKEN, FakeService, served


def test_models_and_health(rws: Client, fake: FakeService) -> None:
    assert rws.live()
    assert rws.ready()
    (model,) = rws.models()
    assert (model.name, model.classes) == ("bundled", ("cat", "dog"))
    assert rws.model().info() == model
    with pytest.raises(NotFoundError, match="no model 'other'"):
        rws.model("other").info()
    fake.is_ready = False
    assert not rws.ready()


def test_the_audit_log(rws: Client) -> None:
    rws.model().patchset.apply("fog")
    rws.model().patchset.clear()
    page = rws.audit(limit=2)
    assert [(one.seq, one.action, one.actor) for one in page] == [
        (3, "clear", "tests"),
        (2, "apply", "tests"),
    ]
    assert (len(page), page[1].generation, page.next_before) == (2, 1, 2)
    older = rws.audit(before=page.next_before)
    assert ([one.seq for one in older], older.next_before) == ([1], None)


def test_nobody_there_is_neither_live_nor_ready() -> None:
    with served(FakeService().handle) as url:
        pass  # its port is free again
    with Client(url) as rws:
        assert (rws.live(), rws.ready()) == (False, False)


def test_a_stranger_is_said_to_be_one() -> None:
    pages = httpx.MockTransport(lambda request: httpx.Response(404, text="<h1>Not here</h1>"))
    with Client(transport=pages) as rws, pytest.raises(ApiError) as refused:
        rws.live()
    assert (refused.value.status, refused.value.type) == (404, "about:blank")


def test_the_environment_says_where_and_with_what(
    monkeypatch: pytest.MonkeyPatch, fake: FakeService
) -> None:
    monkeypatch.setenv("RWS_URL", "http://edge-box:8000/prefix/")
    monkeypatch.setenv("RWS_TOKEN", f"{TOKEN}\n")
    with Client() as rws:
        assert rws.url == "http://edge-box:8000/prefix"
    monkeypatch.setenv("RWS_URL", "")
    with Client(transport=fake.transport) as rws:
        assert rws.url == "http://127.0.0.1:8000"
        rws.model().patchset.clear()
    with Client("https://other", transport=fake.transport) as rws:
        assert rws.url == "https://other"


def test_no_token_is_a_choice(monkeypatch: pytest.MonkeyPatch, fake: FakeService) -> None:
    monkeypatch.setenv("RWS_TOKEN", TOKEN)
    with Client(token="", transport=fake.transport) as rws, pytest.raises(UnauthorizedError):
        rws.model().patchset.clear()
    assert "authorization" not in fake.seen[-1].headers


@pytest.mark.parametrize(
    "url",
    [
        "edge-box:8000",
        "ftp://edge-box",
        "http://",
        "http://u:secret@box",
        "http://box?x=1",
        "",
        "a\0b",
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as refused:
        Client(url)
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match="URL"):
        AsyncClient(url)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "näive", "nul\0"])
def test_a_token_that_is_none_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="token") as refused:
        Client(token=token)
    assert token not in str(refused.value)


def test_the_token_is_nowhere_to_be_read(
    caplog: pytest.LogCaptureFixture, fake: FakeService
) -> None:
    caplog.set_level("DEBUG")
    with served(fake.handle) as url, Client(url, TOKEN) as rws:
        model = rws.model()
        model.patchset.apply("fog")
        with pytest.raises(NotFoundError) as refused:
            model.patchset.remove("frost")
        shown = [repr(thing) for thing in (rws, model, rws.patches, model.patchset, vars(rws))]
        shown += [
            repr(resolve(url, TOKEN)),
            repr(vars(rws._transport)),
            repr(refused.value),
            caplog.text,
        ]
    assert caplog.records
    assert fake.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert not any(TOKEN in text for text in shown)


def test_no_proxy_stands_before_this_machine(
    monkeypatch: pytest.MonkeyPatch, fake: FakeService
) -> None:
    with served(fake.handle) as closed:
        pass
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, closed)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with served(fake.handle) as url:
        for same in (url, url.replace("127.0.0.1", "localhost")):
            with Client(same) as rws:
                assert rws.ready()
    with Client("http://edge-box:8000") as rws:
        assert not rws.ready()  # asked the proxy, which is not there


def test_redirections_are_not_followed() -> None:
    seen = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(307, headers={"Location": "http://other/v1/models"})

    with (
        Client(token=TOKEN, transport=httpx.MockTransport(elsewhere)) as rws,
        pytest.raises(ProtocolError, match="http://other/v1/models"),
    ):
        rws.models()
    assert seen == ["/v1/models"]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>a portal</html>"),
        httpx.Response(200, json={"models": [{"name": "bundled"}]}),
        httpx.Response(200, json=[]),
        httpx.Response(200),
        httpx.Response(204),
        httpx.Response(101),
    ],
)
def test_an_answer_of_another_kind_is_refused(answer: httpx.Response) -> None:
    with (
        Client(transport=httpx.MockTransport(lambda _: answer)) as rws,
        pytest.raises(ProtocolError),
    ):
        rws.models()


def test_a_body_that_cannot_be_unpacked_is_refused() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        content = httpx.ByteStream(b"not gzip")
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=content)

    with (
        Client(transport=httpx.MockTransport(broken)) as rws,
        pytest.raises(ProtocolError, match="cannot be read"),
    ):
        rws.models()


def test_names_are_quoted_and_never_lead_elsewhere(rws: Client, fake: FakeService) -> None:
    with pytest.raises(NotFoundError):
        rws.patches.get("a/b?c#d é")
    assert fake.seen[-1].url.raw_path == b"/v1/patches/a%2Fb%3Fc%23d%20%C3%A9"
    asked = len(fake.seen)
    for name in ("", ".", ".."):
        with pytest.raises(ValueError, match="cannot be a name"):
            rws.model().patchset.remove(name)
        with pytest.raises(ValueError, match="cannot be a name"):
            rws.model(name).patchset.clear()
    assert len(fake.seen) == asked


def test_a_prefix_of_a_proxy_stays_in_front(fake: FakeService) -> None:
    def stripped(request: httpx.Request) -> httpx.Response:
        assert request.url.path.startswith("/box1/v1/")
        request.url = request.url.copy_with(path=request.url.path.removeprefix("/box1"))
        return fake.handle(request)

    with Client("http://proxy/box1/", transport=httpx.MockTransport(stripped)) as rws:
        assert rws.model().info().name == "bundled"


def test_many_threads_may_share_one(fake: FakeService) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with served(fake.handle) as url, Client(url) as rws, ThreadPoolExecutor(4) as pool:
        labels = list(pool.map(lambda n: rws.model().predict(bytes([n])).top1.label, range(40)))
    assert labels == [f"byte {number}" for number in range(40)]


def test_results_travel_between_processes(rws: Client) -> None:
    model = rws.model().info()
    assert pickle.loads(pickle.dumps(model)) == model
