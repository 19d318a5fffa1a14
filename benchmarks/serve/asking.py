"""Requests as bytes, made before anything is measured."""

__all__ = ["body_request", "form_request", "json_request"]

import json


def body_request(
    method: str, path: str, body: bytes, kind: str, *, headers: tuple[str, ...] = ()
) -> bytes:
    """Make a request with a body of a media type."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def json_request(method: str, path: str, value: object, *, headers: tuple[str, ...] = ()) -> bytes:
    """Make a request with a JSON body."""
    body = json.dumps(value).encode()
    return body_request(method, path, body, "application/json", headers=headers)


def form_request(path: str, field: str, image: bytes) -> bytes:
    """Make a request with one JPEG as a file of a form."""
    boundary = "jpeg-follows-0123456789"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="image.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + image + f"\r\n--{boundary}--\r\n".encode()
    return body_request("POST", path, body, f"multipart/form-data; boundary={boundary}")
