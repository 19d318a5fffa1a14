"""The other side of the wire: requests as a client writes them, answers as it reads them."""

import json
import struct
from typing import Any

import torch
from torch import Tensor

HEADER = "Inference-Header-Content-Length"


def datatype_of(images: Tensor) -> str:
    return "UINT8" if images.dtype == torch.uint8 else "FP32"


def json_request(images: Tensor, **members: Any) -> bytes:
    """Write a request with the images as numbers."""
    given = {
        "name": "images",
        "shape": list(images.shape),
        "datatype": datatype_of(images),
        "data": images.tolist(),
    }
    return json.dumps({"inputs": [given], **members}).encode()


def binary_request(images: Tensor, **members: Any) -> tuple[bytes, str]:
    """Write a request with the images behind the JSON; returns its header's value too."""
    data = images.numpy().tobytes()
    given = {
        "name": "images",
        "shape": list(images.shape),
        "datatype": datatype_of(images),
        "parameters": {"binary_data_size": len(data)},
    }
    text = json.dumps({"inputs": [given], **members}).encode()
    return text + data, str(len(text))


def read_texts(data: bytes) -> list[str]:
    """Read BYTES."""
    texts = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        texts.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return texts


def read_answer(body: bytes, header_length: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read an answer: its JSON, and its outputs as a tensor and a list of labels."""
    answer = json.loads(body[:header_length])
    rest = b"" if header_length is None else body[header_length:]
    outputs: dict[str, Any] = {}
    for output in answer["outputs"]:
        value = output.get("data")
        if value is None:
            size = output["parameters"]["binary_data_size"]
            part, rest = rest[:size], rest[size:]
            value = _read_part(part, output["datatype"])
        is_number = output["datatype"] == "FP32"
        outputs[output["name"]] = (
            torch.tensor(value, dtype=torch.float32).reshape(output["shape"])
            if is_number
            else value
        )
    assert rest == b""
    return answer, outputs


def _read_part(part: bytes, datatype: str) -> list[Any]:
    if datatype == "FP32":
        return list(struct.unpack(f"<{len(part) // 4}f", part))
    return read_texts(part)
