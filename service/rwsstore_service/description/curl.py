"""Requests as they are typed: a curl command for each operation of the API's own routes."""

__all__ = ["curl"]

import json
from typing import Any

# What the document cannot tell: which files, which query, which patch.
_OWN = {
    "predict": ("?top_k=2", ["-H 'Content-Type: image/jpeg'", "--data-binary @road.jpg"]),
    "read_patchset": ("", ["-i"]),
    "list_patches": ("?corruption=fog&limit=10", []),
    "upload_patch": (
        "?name=my_fog",
        ["-H 'Content-Type: application/octet-stream'", "--data-binary @my_fog.safetensors"],
    ),
    "download_patch": ("", ["-o fog.safetensors"]),
    "read_history": ("?limit=10", []),
    "read_audit": ("?limit=10", []),
    "replace_patchset": ("", ["-H 'If-Match: \"7\"'"]),
    "compose_patches": ("", ["-H 'Idempotency-Key: foggy-night-1'"]),
    "delete_patch": ("", []),
}
_PATCHES = {"delete_patch": "foggy_night"}
_OPEN = "/v1/", "/livez", "/readyz"


def curl(path: str, verb: str, operation: dict[str, Any]) -> str:
    """Write the command; "" for the Open Inference Protocol, which has a page of its own."""
    if not path.startswith(_OPEN):
        return ""
    name = operation["operationId"]
    query, options = _OWN.get(name, ("", []))
    place = path.replace("{model}", "bundled").replace("{patch}", _PATCHES.get(name, "fog"))
    method = [] if verb == "get" or (verb == "post" and options) else [f"-X {verb.upper()}"]
    words = [f'curl "$RWS_URL{place}{query}"', *method, *_token(operation), *options]
    return " \\\n  ".join([*words, *_json(operation)])


def _token(operation: dict[str, Any]) -> list[str]:
    if {} in operation["security"] or not operation["security"]:
        return []
    return ['-H "Authorization: Bearer $RWS_TOKEN"']


def _json(operation: dict[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = list(content.get("examples", {}).values())
    if not examples:
        return []
    body = json.dumps(examples[0]["value"])
    return ["-H 'Content-Type: application/json'", f"-d '{body}'"]
