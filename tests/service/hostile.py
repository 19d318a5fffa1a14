"""What a stranger may send, and a way to send it that no client library tidies up."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from starlette.datastructures import Headers
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from tests.service.answering import picture
from tests.service.box import ADMIN

MEGABYTE = 2**20

# Names of patches and models: none of them is one, and none may become a path.
NAMES = (
    *("..", ".", "../..", "../../../../etc/passwd", "/etc/passwd", "\\\\host\\share", "C:\\x"),
    *("a\0b", "\0", "", " ", "fog ", " fog", "fog\n", "\r\nX-A: b", "\x7f", "\u202egof"),
    *("f\u043eg", "\uff46\uff4f\uff47", "FOG", "fog\u0301", "\U0001f32b", "\ufffd"),
    *("fog@0", "fog@-1", "fog@99999999", "fog@1e3", "fog@", "@1", "fog@1@1", "fog@01"),
    *("0", "abcdef0", "0" * 63, "0" * 65, "z" * 64, "a" * 71, "a" * 72),
    *("http://169.254.169.254/latest", "file:///etc/passwd", "//example.org/x", "%2e%2e", "%00"),
    *("{patch}", "*", "?", "'; DROP TABLE records; --", "${jndi:ldap://x}", "__proto__", "None"),
    "a" * MEGABYTE,
)
# Texts where a number, a truth or a patch set is expected.
SCALARS = (
    *(
        "nan",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1",
        "1e30",
        "true!",
        "0x10",
        "1_0",
        "\u0661",
    ),
    *("1" + "0" * 400, "9" * 5000, "fog=nan", "fog=1e400", "fog=-1", "fog=true", "fog=1e30"),
    *("fog,fog", "fog=0.5=0.5", "=", ",", "active,none", "fog=0.5;frost=1", "fog," * 2000),
)
HEADER_VALUES = (
    *(b"", b"\xff\xfe", b"\x01", b"a" * 20_000, b"../..", b"NaN", b"-1", b'"1", W/"2"; x=y'),
    b"1" + b"0" * 400,
)
HEADERS = (
    *("if-match", "idempotency-key", "x-request-id", "accept", "origin", "range", "traceparent"),
    *("content-type", "content-encoding", "inference-header-content-length", "authorization"),
    *("host", "x-forwarded-for"),
)
# JSON values that are right nowhere in this API; as they are written.
VALUES = (
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", '"nan"', '"NaN"', "true", "1e30", "-1"),
    *("1" + "0" * 400, "1" + "0" * 5000, "-0.5", "[[]]", '{"a": 1}', '"\\ud800"', '"\\u0000"'),
    *(json.dumps(name) for name in ("..", "f\u043eg", "fog@0", "fog@99999999", "/etc/passwd", "")),
    json.dumps("a" * 70_000),
)
# These may mean "nothing", where that is allowed.
EMPTY = ("null", "[]", "{}")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Body:
    """A body and what it says it is."""

    media: str
    data: bytes


def _form(*parts: bytes) -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


def _part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value


_JSON = "application/json"
_FORM = "multipart/form-data; boundary=x"
_FILE = _part(b"images", picture(), b'; filename="../../a.png"')
BODIES = (
    *(
        Body(_JSON, text)
        for text in (b"{", b"[", b'{"alpha":', b"nul", b"'a'", b"{}{}", b"\0", b"\xff")
    ),
    *(Body(_JSON, b"[" * 100_000), Body(_JSON, b'{"a":' * 100_000), Body(_JSON, b"[" * 2000)),
    Body(_JSON, b'{"a":' * 2000 + b"1" + b"}" * 2000),
    Body(_JSON, b'{"alpha": 0.5, "alpha": 0.5}'),
    Body(_JSON, b'{"patches": [], "patches": []}'),
    Body(_JSON, b'{"alpha": "\xff"}'),
    Body(_JSON, '{"alpha": 0.5}'.encode("utf-16")),
    Body(_JSON, b"\xef\xbb\xbf{}x"),
    Body(_JSON, b'{"alpha": 0.5, "__class__": "x", "$ref": "#"}'),
    Body(_JSON, b'"' + b"a" * 900_000 + b'"'),
    Body(_JSON, b" " * (MEGABYTE + 1)),
    Body("text/plain", b'{"alpha": 0.5}'),
    Body("text/html", b"<script>alert(1)</script>"),
    Body("application/xml", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    Body("application/x-www-form-urlencoded", b"alpha=0.5"),
    Body("application/x-pickle", b"\x80\x04cos\nsystem\n."),
    Body("image/svg+xml", b"<svg/>"),
    Body("application/octet-stream", b"\xff" * 64),
    Body("application/octet-stream", b"\x1f\x8b\x08" + b"\0" * 64),
    Body("image/png", b"\x89PNG\r\n\x1a\n" + b"\0" * 64),
    Body("\xff/\xfe", b"x"),
    Body(";;;", b"x"),
    Body("multipart/form-data", _form(_FILE)),
    Body("multipart/form-data; boundary=", _form(_FILE)),
    Body("multipart/form-data; boundary=" + "x" * 1000, _form(_FILE)),
    Body("multipart/form-data; boundary=\xff", _form(_FILE)),
    Body("multipart/form-data; boundary=y", _form(_FILE)),
    Body("multipart/form-data; boundary=x; charset=no-such", _form(_part(b"top_k", b"1"))),
    *(
        Body(f"{_FORM}; charset={name}", _form(_part(b"top_k", b"\xff1")))
        for name in ("undefined", "idna", "utf-16", "zlib", "\0")
    ),
    Body(_FORM, _form(*[_FILE] * 1001)),
    Body(_FORM, _form(*[_part(b"top_k", b"1")] * 1001)),
    Body(_FORM, _form(_FILE, _part(b"patchset", b"\xff\xfe"))),
    Body(_FORM, _form(_FILE, _part(b"top_k", b"1" + b"0" * 400))),
    Body(_FORM, _form(_FILE, _part(b"patchset", b"a" * 100_000))),
    Body(_FORM, _form(_part(b"images" * 10_000, b"1"))),
    Body(_FORM, _form(b"A: b\r\n" * 5000 + _FILE)),
    Body(_FORM, _form(_FILE)[:-9]),
    Body(_FORM, b"--x--\r\n"),
    Body(_FORM, b""),
)


def ask(
    client: TestClient,
    method: str,
    target: str,
    body: Body | None = None,
    **headers: bytes,
) -> Answer:
    """Ask the app as a server would, with a target and headers just as they are given.

    Args:
        client: started; an admin's.
        method: of the request.
        target: path and query, percent-encoded.
        body: of the request.
        headers: replace those that are sent anyway; `_` stands for `-`.
    """
    path, _, query = target.partition("?")
    sent = {"host": b"127.0.0.1", "authorization": f"Bearer {ADMIN}".encode()}
    if body is not None:
        sent["content-type"] = body.media.encode("latin-1")
        sent["content-length"] = str(len(body.data)).encode()
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [(name.encode(), value) for name, value in sent.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    assert client.portal is not None
    return client.portal.call(_run, client, scope, b"" if body is None else body.data)


async def _run(client: TestClient, scope: Scope, body: bytes) -> Answer:
    unread = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return unread.pop() if unread else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await client.app(scope, receive, send)
    start = sent[0]
    headers = Headers(raw=[(name.lower(), value) for name, value in start["headers"]])
    return Answer(start["status"], headers, b"".join(one.get("body", b"") for one in sent[1:]))


def encoded(value: str) -> str:
    """As one segment of a path, or one value of a query."""
    return quote(value.encode("utf-8", "surrogatepass"), safe="")


def replaced(value: Any, with_what: str) -> Iterator[bytes]:
    """A JSON text for each place in a value, that place replaced by other text."""
    mark = "\ue000"
    for one in _marked(value, mark):
        yield json.dumps(one).replace(json.dumps(mark), with_what).encode()


def _marked(value: Any, mark: str) -> Iterator[Any]:
    yield mark
    if isinstance(value, dict):
        yield {**value, "unknown": mark}
        for name, child in value.items():
            yield from ({**value, name: one} for one in _marked(child, mark))
    elif isinstance(value, list) and value:
        yield from ([one, *value[1:]] for one in _marked(value[0], mark))
