import math
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st

from rwsstore.patches import parse_request
from rwsstore_client import Client, ProtocolError, StateChangedError, TaLoss, UnknownPatchError
from tests.clients.fake import FakeService, images_of

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{1,8}", fullmatch=True).filter(
    lambda name: name not in ("active", "none")
)


def test_one_image_is_the_body(rws: Client, fake: FakeService) -> None:
    answer = rws.model().predict(b"\xff\xd8\xff-jpeg", top_k=3, patchset="none")
    (request,) = fake.seen
    assert request.headers["content-type"] == "image/jpeg"
    assert request.content == b"\xff\xd8\xff-jpeg"
    assert dict(request.url.params) == {"patchset": "none", "top_k": "3"}
    assert len(answer) == 1
    assert answer.top1 == answer[0].top1 == answer[0].top[0]
    assert [label.label for label in answer[0].top] == ["byte 255", "byte 256", "byte 257"]


def test_several_images_are_one_form(rws: Client, fake: FakeService) -> None:
    answer = rws.model().predict([b"a\r\n--", b"b", b"c"], top_k=2, patchset={"fog": 0.5})
    (request,) = fake.seen
    images, texts = images_of(request)
    assert images == [b"a\r\n--", b"b", b"c"]
    assert texts == {"patchset": "fog=0.5", "top_k": "2"}
    assert request.url.query == b""
    assert answer.labels == ("byte 97", "byte 98", "byte 99")
    assert [image.top1.index for image in answer] == [0, 0, 0]


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_how_long_it_may_wait(rws: Client, fake: FakeService, patched: bool, count: int) -> None:
    model = rws.model().patched("none") if patched else rws.model()
    model.predict([b"a"] * count, timeout_ms=250)
    (request,) = fake.seen
    said = dict(request.url.params) if count == 1 else images_of(request)[1]
    assert said["timeout_ms"] == "250"


def test_active_is_what_the_model_has_on(rws: Client) -> None:
    model = rws.model()
    on = model.patchset.apply("fog", alpha=0.5)
    answer = model.predict(b"x")
    assert (answer.generation, answer.state_digest) == (on.generation, on.state_digest)
    assert answer.patches == on.patches


def test_patched_is_for_its_own_requests_only(rws: Client) -> None:
    model = rws.model()
    before = model.patchset.get()
    with model.patched({"fog": 0.6, "gaussian_noise": None}) as scene:
        answer = scene.predict([b"a", b"b"], top_k=2)
        assert "fog=0.6,gaussian_noise" in repr(scene)
    assert [(one.patch, one.alpha) for one in answer.patches] == [
        ("fog", 0.6),
        ("gaussian_noise", 1.0),
    ]
    assert answer.generation is None
    assert model.patchset.get() == before
    assert model.predict(b"a").patches == ()


def test_a_patch_set_that_was_answered_can_be_asked_for(rws: Client) -> None:
    model = rws.model()
    seen = model.patchset.replace("fog=0.25", if_match="*")
    model.patchset.clear()
    answer = model.predict(b"x", patchset=seen)
    assert [(one.digest, one.alpha) for one in answer.patches] == [(seen["fog"].digest, 0.25)]


@given(st.dictionaries(NAMES, st.none() | FINITE, min_size=1))
def test_each_strength_arrives_to_the_bit(wanted: dict[str, float | None]) -> None:
    with Client(transport=FakeService().transport) as rws:
        text = rws.model().patched(wanted).patchset
    read = parse_request(text)  # as the service reads it
    assert list(read) == list(wanted)
    for name, alpha in wanted.items():
        got = read[name]
        assert (got is None) == (alpha is None)
        assert alpha is None or got is None or got.hex() == alpha.hex()


@pytest.mark.parametrize("name", ["", " ", "active", "none", "fog=1,frost", "a,b"])
def test_a_name_that_would_be_read_as_something_else_is_refused(rws: Client, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        rws.model().patched({name: None})


def test_no_patches_are_the_clean_model(rws: Client) -> None:
    assert rws.model().patched({}).patchset == "none"


def test_a_loss_is_no_strength_for_a_prediction(rws: Client) -> None:
    wanted: Any = {"fog": TaLoss(1.0)}
    with pytest.raises(TypeError, match="numbers only"):
        rws.model().predict(b"x", patchset=wanted)


def test_a_patch_set_too_long_for_a_url_goes_into_a_form(rws: Client, fake: FakeService) -> None:
    for number in range(300):
        rws.patches.upload(b"%d" % number, name=f"p{number}")
    wanted: dict[str, float | None] = {f"p{number}": math.pi for number in range(300)}
    answer = rws.model().predict(b"x", patchset=wanted)
    assert len(answer.patches) == 300
    assert len(str(fake.seen[-1].url)) < 200


def test_many_images_go_in_parts_and_come_back_as_one(rws: Client, fake: FakeService) -> None:
    answer = rws.model().predict([bytes([number]) for number in range(150)], top_k=1)
    assert [len(images_of(request)[0]) for request in fake.seen] == [64, 64, 22]
    assert answer.labels == tuple(f"byte {number}" for number in range(150))
    assert answer.timing.queued_ms == 3
    assert answer.timing.decode_ms == 6
    assert answer.timing.compute_ms == 9
    fake.seen.clear()
    rws.model().predict([b"x"] * 3, batch=2)
    assert len(fake.seen) == 2


def test_large_images_go_in_parts(rws: Client, fake: FakeService) -> None:
    rws.model().predict([b"x" * 20_000_000] * 3)
    assert [len(images_of(request)[0]) for request in fake.seen] == [1, 1, 1]


def test_parts_that_were_patched_differently_are_refused(fake: FakeService) -> None:
    def meddle(request: httpx.Request) -> httpx.Response:
        answer = fake.handle(request)
        fake.on = {"fog": 0.5}
        return answer

    with Client(transport=httpx.MockTransport(meddle)) as rws:
        model = rws.model()
        with pytest.raises(StateChangedError, match="predict again"):
            model.predict([b"a", b"b"], batch=1)
        assert len(model.predict([b"a", b"b"], batch=1, patchset={"fog": 1})) == 2


def test_a_count_that_is_wrong_is_refused(fake: FakeService) -> None:
    def short(request: httpx.Request) -> httpx.Response:
        document = fake.handle(request).json()
        return httpx.Response(200, json={**document, "predictions": document["predictions"][1:]})

    with (
        Client(transport=httpx.MockTransport(short)) as rws,
        pytest.raises(ProtocolError, match="1 predictions came back for 2 images"),
    ):
        rws.model().predict([b"a", b"b"])


def test_refusals(rws: Client, fake: FakeService) -> None:
    with pytest.raises(ValueError, match="no images"):
        rws.model().predict([])
    with pytest.raises(ValueError, match="batch"):
        rws.model().predict(b"x", batch=0)
    assert fake.seen == []
    with pytest.raises(UnknownPatchError):
        rws.model().predict(b"x", patchset="smog")


def test_predictions_are_printed_in_one_line(rws: Client) -> None:
    model = rws.model("bundled")
    one = model.predict(b"a", patchset={"fog": 0.6})
    assert str(one) == f"byte 97 {one.top1.probability:.1%} (bundled, fog=0.6)"
    many = str(model.predict([bytes([number]) for number in range(40)], patchset="none"))
    assert many.startswith("byte 0 ")
    assert many.endswith(", 35 more (bundled, no patch)")
    assert "\n" not in many
