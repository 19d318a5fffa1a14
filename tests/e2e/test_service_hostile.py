"""Uploads and connections that would exhaust a box, sent to a real `rws serve` over sockets."""

import gzip
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.service.box import ADMIN, Box
from tests.service.hostile_images import huge_png
from tests.service.wire.peers import Answer, Peer

PREDICT = "/v1/models/bundled/predict"
MARGIN_KIB = 48 * 1024
CONNECTIONS = 1000


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    variables = {
        "RWS_HEADER_TIMEOUT": "2",
        "RWS_BODY_TIMEOUT": "2",
        "RWS_IDLE_TIMEOUT": "2",
        "RWS_MAX_BODY_BYTES": "4194304",
        "RWS_MAX_IMAGE_BYTES": "4194304",
        "RWS_MAX_PATCH_BYTES": "4194304",
        "RWS_MAX_CONNECTIONS": str(CONNECTIONS + 100),
    }
    with Box(tmp_path_factory.mktemp("hostile"), variables) as box:
        predict(box, picture("PNG"))  # what a first prediction loads is no leak
        yield box


@pytest.fixture(autouse=True)
def unharmed(box: Box) -> Iterator[None]:
    """Afterwards it is as it was, and has not grown by much on the way."""
    before = peak_kib(box)
    yield
    assert peak_kib(box) - before < MARGIN_KIB
    url = f"{box.url}/v1/models/bundled/patchset"
    verified = httpx.get(url, params={"verify": True}, headers=bearer()).json()
    assert (verified["ok"], verified["generation"]) == (True, 1)


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {ADMIN}"}


def peak_kib(box: Box) -> int:
    """The most memory that the process ever had."""
    lines = Path(f"/proc/{box.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def picture(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(file, kind, **options)
    return file.getvalue()


def animation() -> bytes:
    return picture("GIF", save_all=True, append_images=[Image.linear_gradient("L")])


def predict(box: Box, data: bytes, **headers: str) -> httpx.Response:
    sent = {"Content-Type": "image/png", **headers}
    return httpx.post(box.url + PREDICT, content=data, headers=sent)


def head_of_upload(path: str, *lines: str) -> bytes:
    token = f"Authorization: Bearer {ADMIN}"
    first = [f"POST {path} HTTP/1.1", "Host: here", token, *lines, "", ""]
    return "\r\n".join(first).encode()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (huge_png(), 413),
        (picture("PNG")[:700], 422),
        (picture("JPEG")[:700], 422),
        (animation(), 415),
        (picture("TIFF"), 415),
        (b"SIMPLE  =                    T" + b" " * 2850, 415),  # FITS
        (b"", 422),
    ],
    ids=["177 megapixels", "cut PNG", "cut JPEG", "animation", "TIFF", "FITS", "nothing"],
)
def test_images_that_are_not_decoded(box: Box, data: bytes, status: int) -> None:
    answer = predict(box, data)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_compressed_body_is_not_unpacked(box: Box) -> None:
    assert (
        predict(box, gzip.compress(picture("PNG")), **{"Content-Encoding": "gzip"}).status_code
        == 415
    )


@pytest.mark.parametrize("path", [PREDICT, "/v1/patches"])
def test_300_megabytes_in_chunks_of_unknown_number(box: Box, path: str) -> None:
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    media = "Content-Type: application/octet-stream"
    with Peer(box.url) as peer:
        peer.send(head_of_upload(path, media, "Transfer-Encoding: chunked"))
        assert peer.trickle(chunk for _ in range(300))
        assert answered(peer).problem == "too-large"


def test_300_megabytes_that_are_announced(box: Box) -> None:
    with Peer(box.url) as peer:
        peer.send(head_of_upload("/v1/patches", f"Content-Length: {300 * 2**20}"))
        assert answered(peer).status == 413


def test_1001_parts(box: Box) -> None:
    files = [("images", ("a.png", picture("PNG"), "image/png"))] * 1001
    answer = httpx.post(box.url + PREDICT, files=files)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /v1/models/bundled/predict HTTP/1.1\r\nHost: here\r\nContent-",
        head_of_upload(PREDICT, "Content-Type: image/png", "Content-Length: 1000") + b"half",
    ],
    ids=["idle", "half a header", "half a body"],
)
def test_connections_that_stop_are_closed_and_disturb_nobody(box: Box, beginning: bytes) -> None:
    # Half bodies hold one of the requests that are served at once, so not all of those.
    count = 32 if beginning.endswith(b"half") else CONNECTIONS
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(box.url)) for _ in range(count)]
        for peer in peers:
            peer.send(beginning)
        for _ in range(20):
            assert predict(box, picture("PNG")).status_code == 200
        assert all(peer.closes_at_last() for peer in peers)


def answered(peer: Peer) -> Answer:
    answer = peer.answer()
    assert peer.closes_at_last()
    return answer
