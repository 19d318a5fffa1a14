"""What OpenAPI says about bodies that the routes read and write themselves."""

__all__ = ["HEADER_LENGTH", "INDEX_BODY", "INFER_ANSWER", "INFER_BODY"]

from typing import Any

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Where a body is JSON and binary tensors: how many bytes of it are JSON."""

_BINARY_HEADER = {
    "schema": {"type": "integer", "minimum": 1},
    "description": "Bytes of the JSON where binary tensors stand behind it.",
}

_INPUT: dict[str, Any] = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "additionalProperties": False,
    "properties": {
        "name": {"const": "images"},
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 4,
            "maxItems": 4,
            "description": "[n, 3, H, W]; H and W are the model's.",
        },
        "datatype": {"enum": ["UINT8", "FP32"], "description": "FP32 is within [0, 1]."},
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "binary_data_size": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "Bytes of the tensor behind the JSON; then there is no data.",
                }
            },
        },
        "data": {
            "type": "array",
            "items": {},
            "description": "Numbers, flat or nested as the shape.",
        },
    },
}
_OUTPUT: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"enum": ["logits", "labels"]},
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"binary_data": {"type": "boolean"}},
        },
    },
}
_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "maxLength": 1024},
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "patchset": {
                    "type": "string",
                    "default": "active",
                    "description": "active, none, or a set of this request's own.",
                    "examples": ["fog=0.6,gaussian_blur=0.4"],
                },
                "binary_data_output": {"type": "boolean", "default": False},
                "timeout": {
                    "type": "integer",
                    "default": 0,
                    "minimum": 0,
                    "maximum": 3_600_000_000,
                    "description": "Microseconds within which it is to be begun, else 504; 0: as "
                    "long as the service says (RWS_QUEUE_TIMEOUT).",
                },
            },
        },
        "inputs": {"type": "array", "items": _INPUT, "minItems": 1, "maxItems": 1},
        "outputs": {
            "type": "array",
            "items": _OUTPUT,
            "maxItems": 2,
            "uniqueItems": True,
            "description": "None or no member: both, logits first.",
        },
    },
}
# Of a model whose images are one pixel, for brevity.
_EXAMPLE = {
    "id": "42",
    "parameters": {"patchset": "fog=0.6"},
    "inputs": [
        {"name": "images", "shape": [1, 3, 1, 1], "datatype": "UINT8", "data": [0, 127, 255]}
    ],
    "outputs": [{"name": "labels"}],
}
_BINARY = {
    "schema": {"type": "string", "format": "binary"},
}

INFER_BODY: dict[str, Any] = {
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "required": False,
            **_BINARY_HEADER,
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _REQUEST, "example": _EXAMPLE},
            "application/octet-stream": _BINARY,
        },
    },
}
"""Of POST …/infer."""

INFER_ANSWER: dict[str, Any] = {
    "description": "The outputs; as application/octet-stream where one of them is binary.",
    "headers": {HEADER_LENGTH: _BINARY_HEADER},
    "content": {"application/octet-stream": _BINARY},
}
"""Of POST …/infer, beside the JSON."""

INDEX_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"ready": {"type": "boolean", "default": False}},
                },
                "example": {"ready": True},
            }
        },
    }
}
"""Of POST /v2/repository/index."""
