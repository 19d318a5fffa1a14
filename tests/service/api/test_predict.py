"""Predictions from uploaded images."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from httpx2 import Response
from starlette.testclient import TestClient

from rwsstore.bundled import bundled_model
from rwsstore.data.images import decode_image
from rwsstore_client.contract import Predictions
from rwsstore_service.api import predict as predict_route
from rwsstore_service.api.predict import predictions_of
from tests.service.answering import IMAGE, MODEL, SET, bearer, picture, predict, problem, state
from tests.service.box import PREDICT
from tests.service.conftest import MakeClient

PREDICTING = f"{MODEL}/predict"


def form(client: TestClient, *images: bytes, query: str = "", **fields: str) -> Response:
    files = [("images", (f"{number}.png", data)) for number, data in enumerate(images)]
    return client.post(f"{PREDICTING}{query}", files=files, data=fields)


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def parts(client: TestClient, *given: bytes) -> Response:
    body = b"".join([*given, b"--x--\r\n"])
    return client.post(
        PREDICTING, content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )


FILE = part("images", picture(), '; filename="a.png"')


def test_one_image_as_the_body(reading: TestClient) -> None:
    body = predict(reading, picture())
    assert body["model"] == "bundled"
    assert (body["generation"], body["state_digest"]) == state(reading)
    (prediction,) = body["predictions"]
    assert len(prediction["top"]) == 5
    chances = [one["probability"] for one in prediction["top"]]
    assert chances == sorted(chances, reverse=True)
    assert set(body["timing"]) == {"queued_ms", "decode_ms", "compute_ms"}
    assert all(value >= 0 for value in body["timing"].values())


def test_it_says_what_the_library_says(reading: TestClient) -> None:
    data = picture("green")
    model = bundled_model().eval()
    with torch.no_grad():
        logits = model(torch.tensor(decode_image(data)).permute(2, 0, 1).unsqueeze(0))
    chances = logits.softmax(dim=1)[0]
    (prediction,) = predict(reading, data, "?top_k=10")["predictions"]
    assert {one["index"] for one in prediction["top"]} == set(range(10))
    for one in prediction["top"]:
        assert one["label"] == model.spec.classes[one["index"]]
        assert one["probability"] == pytest.approx(float(chances[one["index"]]), abs=1e-6)


def test_the_short_way_and_the_long_one_answer_alike(reading: TestClient) -> None:
    image, query = picture("green"), "patchset=fog=0.5"
    short, long = (
        reading.post(f"{PREDICTING}?{one}", content=image, headers=IMAGE)
        for one in (query, f"{query}&top_k=5")
    )
    assert short.headers.keys() == long.headers.keys()
    assert short.headers["content-type"] == long.headers["content-type"]
    told = [Predictions.model_validate(one.json()).model_dump(mode="json") for one in (short, long)]
    assert told[0] == short.json()  # no member is missing
    assert [list(one) for one in told] == [list(short.json()), list(long.json())]
    for one in told:
        del one["timing"]
    assert told[0] == told[1]


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_a_body_may_come_in_pieces(reading: TestClient, pieces: int) -> None:
    image = picture("green")
    size = -(-len(image) // pieces)
    sent = (image[start : start + size] for start in range(0, len(image), size))
    answer = reading.post(PREDICTING, content=sent, headers=IMAGE)
    assert answer.json()["predictions"] == predict(reading, image)["predictions"]


@pytest.mark.parametrize(
    ("kind", "media"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("BMP", "image/bmp"),
        ("PNG", "application/octet-stream"),
        ("PNG", "IMAGE/PNG; name=a"),
        ("JPEG", None),
    ],
)
def test_kinds_of_image(reading: TestClient, kind: str, media: str | None) -> None:
    headers = {"content-type": media} if media else {}
    answer = reading.post(PREDICTING, content=picture(kind=kind), headers=headers)
    assert answer.status_code == 200, answer.text


def test_several_images_in_their_order(reading: TestClient) -> None:
    images = [picture(colour) for colour in ("red", "green", "blue", "red")]
    found = form(reading, *images).json()["predictions"]
    single = [predict(reading, image)["predictions"][0] for image in images]
    for one, other in zip(found, single, strict=True):
        assert [row["label"] for row in one["top"]] == [row["label"] for row in other["top"]]
    assert found[0] == found[3] != found[1]


def test_another_size_is_fitted(reading: TestClient) -> None:
    assert predict(reading, picture(size=(200, 90)))["predictions"]


def test_the_active_set_none_and_ones_own(client: TestClient) -> None:
    client.put(f"{SET}/fog", json={"alpha": 0.6})
    generation, active = state(client)
    clean = client.get(f"{MODEL}/history").json()["generations"][-1]["state_digest"]
    rows = {
        "": (generation, active),
        "?patchset=active": (generation, active),
        "?patchset=none": (None, clean),
        "?patchset=fog=0.6": (None, active),
    }
    for query, expected in rows.items():
        body = predict(client, picture(), query)
        assert (body["generation"], body["state_digest"]) == expected, query
    body = predict(client, picture(), "?patchset=frost,gaussian_blur=0.4")
    assert {one["patch"]: one["alpha"] for one in body["patches"]} == {
        "frost": 1.0, "gaussian_blur": 0.4,
    }  # fmt: skip
    assert state(client) == (generation, active)


def test_form_fields_do_as_the_query_does(reading: TestClient) -> None:
    body = form(reading, picture(), patchset="fog=0.6", top_k="3", timeout_ms="60000").json()
    assert [one["patch"] for one in body["patches"]] == ["fog"]
    assert len(body["predictions"][0]["top"]) == 3
    agreed = form(
        reading, picture(), query="?patchset=fog=0.6&top_k=3", patchset="fog=0.6", top_k="3"
    )
    assert agreed.json()["state_digest"] == body["state_digest"]


@pytest.mark.parametrize("name", ["patchset", "top_k", "timeout_ms"])
def test_query_and_form_that_disagree(reading: TestClient, name: str) -> None:
    said = {"patchset": ("fog", "frost")}.get(name, ("2", "3"))
    answer = form(reading, picture(), query=f"?{name}={said[0]}", **{name: said[1]})
    assert name in problem(answer, "invalid-request")["detail"]


@pytest.mark.parametrize("top", [1, 10])
def test_as_many_classes_as_asked_for(reading: TestClient, top: int) -> None:
    assert len(predict(reading, picture(), f"?top_k={top}")["predictions"][0]["top"]) == top


@pytest.mark.parametrize(
    "top", ["0", "11", "-1", "x", "nan", "1e400", "1.5", "true", "", "9" * 400]
)
def test_numbers_of_classes_that_are_refused(reading: TestClient, top: str) -> None:
    answer = reading.post(f"{PREDICTING}?top_k={top}", content=picture(), headers=IMAGE)
    assert "top_k" in problem(answer, "invalid-request")["detail"]
    assert "top_k" in problem(form(reading, picture(), top_k=top), "invalid-request")["detail"]


@pytest.mark.parametrize(
    "timeout", ["0", "-1", "3600001", "x", "nan", "1e3", "1.5", "true", "", "9" * 400]
)
def test_times_that_are_refused(reading: TestClient, timeout: str) -> None:
    answer = reading.post(f"{PREDICTING}?timeout_ms={timeout}", content=picture(), headers=IMAGE)
    assert "timeout_ms" in problem(answer, "invalid-request")["detail"]
    answer = form(reading, picture(), timeout_ms=timeout)
    assert "timeout_ms" in problem(answer, "invalid-request")["detail"]


@pytest.mark.parametrize("timeout", [1000, 3_600_000])
def test_time_enough(reading: TestClient, timeout: int) -> None:
    assert predict(reading, picture(), f"?timeout_ms={timeout}")["predictions"]


@contextmanager
def busy(client: TestClient, clock: Callable[[], float]) -> Iterator[None]:
    """The lane computes something else; its time is another."""
    inference = client.app.state.service.host._inference  # type: ignore[attr-defined]
    gate, own = threading.Event(), inference._clock
    inference.call(lambda: gate.wait(30))
    inference._clock = clock
    try:
        yield
    finally:
        inference._clock = own
        gate.set()


@pytest.mark.parametrize("said", ["query", "form", "setting"])
def test_what_could_not_be_begun_in_time(make_client: MakeClient, said: str) -> None:
    client = make_client(queue_timeout=40)
    limit = 40 if said == "setting" else 20
    with busy(client, lambda: time.perf_counter() + limit):
        if said == "form":
            answer = form(client, picture(), timeout_ms="20000")
        else:
            query = "?timeout_ms=20000" if said == "query" else ""
            answer = client.post(f"{PREDICTING}{query}", content=picture(), headers=IMAGE)
    assert "timeout_ms" in problem(answer, "deadline-exceeded")["detail"]
    assert answer.status_code == 504
    assert "retry-after" not in answer.headers
    assert 'rwsstore_dropped_total{reason="deadline"} 1.0' in client.get("/metrics").text
    assert predict(client, picture(), "?timeout_ms=20000")["predictions"]


@pytest.mark.parametrize(
    ("patchset", "kind"),
    [
        ("smog", "unknown-patch"),
        ("fog=nan", "invalid-request"),
        ("fog=inf", "invalid-request"),
        ("fog=1e400", "invalid-request"),
        ("fog=-1", "invalid-request"),
        ("fog=2.5", "invalid-request"),
        ("fog=true", "invalid-request"),
        ("fog=", "invalid-request"),
        ("fog,fog", "invalid-request"),
        ("fog,fog@1", "invalid-request"),
        ("fog,,frost", "invalid-request"),
        ("active,fog", "invalid-request"),
        ("../../etc/passwd", "invalid-request"),
        ("", "invalid-request"),
        (" ", "invalid-request"),
        ("f\u043eg", "invalid-request"),
        ("fog@0", "invalid-request"),
        (",".join(["fog=0.1"] * 40), "invalid-request"),
    ],
)
def test_sets_that_are_refused(reading: TestClient, patchset: str, kind: str) -> None:
    before = state(reading)
    problem(form(reading, picture(), patchset=patchset), kind)
    answer = reading.post(
        PREDICTING, params={"patchset": patchset}, content=picture(), headers=IMAGE
    )
    problem(answer, kind)
    assert state(reading) == before


def test_more_patches_than_a_request_may_bring(make_client: MakeClient) -> None:
    client = make_client(max_request_patches=2)
    assert predict(client, picture(), "?patchset=fog,frost")["generation"] is None
    answer = client.post(f"{PREDICTING}?patchset=fog,frost,snow", content=picture(), headers=IMAGE)
    assert "RWS_MAX_REQUEST_PATCHES" in problem(answer, "invalid-request")["detail"]


@pytest.mark.parametrize("data", [b"x", b"\x89PNG\r\n\x1a\n", picture()[:300], picture()[:40]])
def test_what_is_no_whole_image(reading: TestClient, data: bytes) -> None:
    answer = reading.post(PREDICTING, content=data, headers=IMAGE)
    assert answer.status_code in (415, 422)
    problem(answer, "unsupported-media" if answer.status_code == 415 else "invalid-image")


def test_formats_that_are_not_read(reading: TestClient) -> None:
    for kind in ("GIF", "TIFF", "PPM"):
        answer = reading.post(PREDICTING, content=picture(kind=kind), headers=IMAGE)
        problem(answer, "unsupported-media")


@pytest.mark.parametrize("media", ["text/plain", "application/json", "image/gif", "image", ";"])
def test_bodies_of_another_kind(reading: TestClient, media: str) -> None:
    answer = reading.post(PREDICTING, content=picture(), headers={"content-type": media})
    assert "expected an image" in problem(answer, "unsupported-media")["detail"]


@pytest.mark.parametrize("charset", ["utf-16", "undefined", "no-such", "hex"])
def test_a_forms_charset_is_not_looked_at(reading: TestClient, charset: str) -> None:
    body = FILE + part("patchset", b"none") + b"--x--\r\n"
    media = f"multipart/form-data; charset={charset}; boundary=x"
    answer = reading.post(PREDICTING, content=body, headers={"content-type": media})
    assert answer.json()["patches"] == []


def test_a_file_is_an_image_whatever_its_part_is_called(reading: TestClient) -> None:
    answer = parts(reading, FILE, part("file", picture("red"), '; filename="b.png"'))
    assert len(answer.json()["predictions"]) == 2


def test_no_image_at_all(reading: TestClient) -> None:
    problem(reading.post(PREDICTING, headers=IMAGE), "invalid-request")
    problem(parts(reading), "invalid-request")
    problem(parts(reading, part("top_k", b"1")), "invalid-request")
    problem(form(reading, picture(), b""), "invalid-request")


@pytest.mark.parametrize(
    "given",
    [
        part("images", b"text"),
        part("patchset", b"none") * 2,
        part("patchset", b"none", '; filename="a"'),
        part("", b"x"),
        part("\u00ff", b"x"),
    ],
)
def test_parts_that_nobody_asked_for(reading: TestClient, given: bytes) -> None:
    problem(parts(reading, FILE, given), "invalid-request")


def test_too_much_is_told_from_what_is_allowed(make_client: MakeClient) -> None:
    """Case 9 in small: parts, fields, bytes of an image, bytes of a field."""
    client = make_client(max_images=3, max_image_bytes=1024)
    small = picture(size=(4, 4))
    assert form(client, small, small, small).is_success
    problem(form(client, *[small] * 4), "too-large")
    problem(form(client, *[small] * 1001), "too-large")
    texts = {"patchset": "none", "top_k": "1", "timeout_ms": "60000"}
    assert form(client, small, **texts).is_success
    problem(form(client, small, **texts, other="1"), "too-large")
    problem(form(client, small, patchset="fog," * 5000), "too-large")
    problem(form(client, small, picture(size=(64, 64), kind="BMP")), "too-large")
    answer = client.post(PREDICTING, content=picture(size=(64, 64), kind="BMP"), headers=IMAGE)
    problem(answer, "too-large")


def test_more_pixels_than_are_decoded(make_client: MakeClient) -> None:
    client = make_client(max_pixels=1024)
    assert predict(client, picture())
    answer = client.post(PREDICTING, content=picture(size=(33, 32)), headers=IMAGE)
    problem(answer, "too-large")


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("multipart/form-data", FILE),
        ("multipart/form-data; boundary=", FILE),
        ("multipart/form-data; boundary=y", FILE + b"--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n1\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"\0\1\2"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", FILE),
        ("multipart/form-data; boundary=x", FILE + FILE[:-30]),
    ],
)
def test_forms_that_cannot_be_read(reading: TestClient, media: str, body: bytes) -> None:
    answer = reading.post(PREDICTING, content=body, headers={"content-type": media})
    problem(answer, "bad-request")


def test_predicting_with_a_predict_token(make_client: MakeClient) -> None:
    client = make_client(token=None, predict_tokens=f"camera:{PREDICT}")
    problem(client.post(PREDICTING, content=picture(), headers=IMAGE), "unauthorized")
    answer: Any = client.post(PREDICTING, content=picture(), headers=IMAGE | bearer(PREDICT))
    assert answer.status_code == 200


@pytest.mark.parametrize("images", [1, 20])
def test_large_answers_are_written_elsewhere(
    reading: TestClient, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    write = predictions_of

    def noting(*given: Any) -> Any:
        threads.append(threading.current_thread().name)
        return write(*given)

    monkeypatch.setattr(predict_route, "predictions_of", noting)
    answer = form(reading, *[picture(size=(4, 4))] * images)
    assert len(answer.json()["predictions"]) == images
    assert ["AnyIO worker" in name for name in threads] == [images > 1]
