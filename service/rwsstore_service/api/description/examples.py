"""Examples of requests and answers for the OpenAPI document, by operationId.

They belong to one story on the bundled model, and tests hold them to the schemas and to what the
service really answers.
"""

from typing import Any

import rwsstore
from rwsstore.data.images import FORMATS
from rwsstore_service.api.oip.contract import Contract
from rwsstore_service.api.predict import RESIZE

_JSON = "application/json"
_ARCHITECTURE = "9574b02f5437c65c707cc3bfef97f0a1252f50e23992c8ba993a42146556e68b"
_WEIGHTS = "d3777677af3afbed195cdaf53b63a5dfa7610ec32bb3bddf64259f15303368e5"
_FOG = "ec504355d639e2f4bf5556102210f4ba5b96f801fc10a1b348eb9e8971d01ed0"
_NOISE = "928635a7cb182b235ec32b97b428ce8cf56ec80ba3f023f60627de6a688a6f6d"
_CLEAN_STATE = "b8ccb15fda09e4c40f36536f723c78fe36fb95a802063cbbdb65ae2bc2519c61"
_FOGGY_STATE = "0023aea2a18db66da7009da7601e17d2988755698b7b789643ef9f9426dd8136"
_AT = "2026-11-21T09:48:36.739496Z"
_TOOL = f"rwsstore {rwsstore.__version__}"

_FOGGY = [{"patch": "fog", "alpha": 0.6}, {"patch": "gaussian_noise", "alpha": 0.4}]
_APPLIED = [
    {"patch": "fog", "digest": _FOG, "alpha": 0.6},
    {"patch": "gaussian_noise", "digest": _NOISE, "alpha": 0.4},
]
_RESOLVED = [
    {"name": "gaussian_noise", "digest": _NOISE, "alpha": 0.4},
    {"name": "fog", "digest": _FOG, "alpha": 0.6},
]
_FOG_PATCH = {
    "name": "fog",
    "version": 1,
    "digest": _FOG,
    "kind": "rws",
    "corruption": "fog",
    "severity": 5,
    "attack": None,
    "budget": None,
    "bits": 8,
    "alpha": 1.0,
    "alpha_minimum": 0.0,
    "alpha_maximum": 2.0,
    "layers": [f"network.features.conv{number}" for number in range(1, 6)],
    "parts": [],
    "architecture": _ARCHITECTURE,
    "clean_weights": _WEIGHTS,
    "fits": True,
    "touched_bytes": 314592,
    "payload_bytes": 80328,
    "file_bytes": 86848,
    "layer": "bundled",
    "card": {
        "images": 1000,
        "points": [
            {"alpha": 0.0, "ta": 86.7, "ra": 55.9},
            {"alpha": 0.25, "ta": 85.1, "ra": 69.1},
            {"alpha": 0.5, "ta": 83.8, "ra": 76.1},
            {"alpha": 0.75, "ta": 81.4, "ra": 79.4},
            {"alpha": 1.0, "ta": 77.2, "ra": 80.8},
            {"alpha": 1.25, "ta": 72.3, "ra": 79.7},
        ],
    },
    "dataset": "CIFAR-10, JPEG quality 75",
    "tool": _TOOL,
}
_FOGGY_NIGHT = {
    **_FOG_PATCH,
    "name": "foggy_night",
    "digest": "9c9007f0fb18f22ccfa084309825cc5ba74074ce5d19d8b113d825816bc5444c",
    "kind": "composed",
    "corruption": None,
    "severity": None,
    "bits": None,
    "alpha_maximum": 3.3333333333333335,
    "layers": [],
    "parts": _RESOLVED,
    "payload_bytes": 0,
    "file_bytes": 3320,
    "layer": "user",
    "card": None,
    "dataset": None,
}


def _patch_set(generation: int, *patches: dict[str, Any]) -> dict[str, Any]:
    """A patch set of the story: clean, or fog and noise."""
    return {
        "model": "bundled",
        "generation": generation,
        "patches": list(patches),
        "resolved": _RESOLVED if patches else [],
        "state_digest": _FOGGY_STATE if patches else _CLEAN_STATE,
        "at": _AT,
        "fault": None,
    }


_CLEAN, _ON = _patch_set(8), _patch_set(7, *_APPLIED)
_CLASSES = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]
_MODEL = {
    "name": "bundled",
    "network": "vgg16",
    "parameters": 2072578,
    "classes": _CLASSES,
    "fingerprint": {"architecture": _ARCHITECTURE, "weights": _WEIGHTS},
    "input": {
        "channels": 3,
        "height": 32,
        "width": 32,
        "formats": list(FORMATS),
        "resize": RESIZE,
        "max_images": 64,
        "max_pixels": 25_000_000,
        "max_image_bytes": 16_777_216,
    },
    "compute": {
        "format": "packed",
        "why": "probe",
        "agreement": 100.0,
        "offered": [
            {"name": "float32", "agreement": 100.0, "images": 2000, "milliseconds": 25.1},
            {"name": "packed", "agreement": 100.0, "images": 2000, "milliseconds": 14.6},
        ],
    },
    "patchset": _ON,
}
_WHO = {"actor": "operator", "address": "127.0.0.1", "request_id": "86538c365cc6cb48"}
_GENERATION = {
    **_ON,
    "action": "replace",
    **_WHO,
    "previous_state_digest": _CLEAN_STATE,
    "rolled_back_to": None,
}
_RECORD = {
    "seq": 12,
    "at": _AT,
    "action": "replace",
    "subject": "bundled",
    **_WHO,
    "generation": 7,
    "digests": [_FOG, _NOISE],
    "state_digest": _FOGGY_STATE,
    "previous_state_digest": _CLEAN_STATE,
    "chain": "2af3ebbdf2fcee70ed3251d98a504ff97b245a47a60237b396a37d3c8e1b5dfd",
}
_PREDICTED = {
    "model": "bundled",
    "patches": _APPLIED,
    "state_digest": _FOGGY_STATE,
    "generation": 7,
    "predictions": [
        {
            "top": [
                {"label": "ship", "index": 8, "probability": 0.9218},
                {"label": "airplane", "index": 0, "probability": 0.0437},
            ]
        }
    ],
    "timing": {"queued_ms": 0.19, "decode_ms": 2.99, "compute_ms": 4.73},
}
_METADATA = Contract("bundled", 32, tuple(_CLASSES), 64).metadata().model_dump(exclude_unset=True)
_INFERRED = {
    "model_name": "bundled",
    "model_version": "1",
    "id": "42",
    "parameters": {
        "patchset": "fog=0.6",
        "state_digest": "1473ef3d67cb10ddf28daa6d6cbdf46ed2e3eecdf0ad9748ce4e538b7849f084",
    },
    "outputs": [{"name": "labels", "datatype": "BYTES", "shape": [1], "data": ["ship"]}],
}
_SERVER = {
    "name": "rwsstore",
    "version": rwsstore.__version__,
    "extensions": ["binary_tensor_data", "repository_index", "patchset"],
}

_ANSWERS: dict[str, object] = {
    "read_liveness": {"status": "ok"},
    "read_readiness": {"status": "ready"},
    "list_models": {"models": [_MODEL]},
    "describe_model": _MODEL,
    "predict": _PREDICTED,
    "read_patchset": _ON,
    "replace_patchset": _ON,
    "clear_patchset": _CLEAN,
    "apply_patch": _ON,
    "scale_patch": _ON,
    "remove_patch": _CLEAN,
    "roll_back": {**_ON, "generation": 9},
    "read_history": {"model": "bundled", "generations": [_GENERATION], "next_before": 7},
    "read_audit": {"records": [_RECORD], "next_before": 12},
    "list_patches": {"patches": [_FOG_PATCH], "total": 19},
    "upload_patch": {**_FOG_PATCH, "version": 2, "layer": "user"},
    "describe_patch": _FOG_PATCH,
    "compose_patches": _FOGGY_NIGHT,
    "oip_server": _SERVER,
    "oip_live": {"live": True},
    "oip_ready": {"ready": True},
    "oip_model": _METADATA,
    "oip_model_version": _METADATA,
    "oip_model_ready": {"name": "bundled", "ready": True},
    "oip_model_version_ready": {"name": "bundled", "ready": True},
    "oip_infer": _INFERRED,
    "oip_infer_version": _INFERRED,
    "oip_repository_index": [{"name": "bundled", "version": "1", "state": "READY", "reason": ""}],
}

ANSWERS: dict[str, dict[str, Any]] = {
    **{name: {_JSON: answer} for name, answer in _ANSWERS.items()},
    "read_metrics": {"text/plain": 'rwsstore_generation{model="bundled"} 7.0\n'},
}
"""The answer to a request that does what was asked: by operationId, then media type."""


def _bodies(**bodies: tuple[str, object]) -> dict[str, dict[str, Any]]:
    examples = {
        name.replace("_", "-"): {"summary": summary, "value": value}
        for name, (summary, value) in bodies.items()
    }
    return {_JSON: examples}


_COST = ("What it may cost on clean images, in points", {"ta_loss": 1.0})

BODIES: dict[str, dict[str, dict[str, Any]]] = {
    "replace_patchset": _bodies(
        two=("Two patches", {"patches": _FOGGY}),
        budget=("Strengths by what they cost", {"patches": [{"patch": "fog", "ta_loss": 1.0}]}),
        none=("The clean model", {"patches": []}),
    ),
    "apply_patch": _bodies(
        alpha=("A strength", {"alpha": 0.8}),
        ta_loss=_COST,
        recommended=("Its recommended strength", {}),
    ),
    "scale_patch": _bodies(alpha=("A strength", {"alpha": 0.5}), ta_loss=_COST),
    "roll_back": _bodies(generation=("To generation 3", {"generation": 3})),
    "compose_patches": _bodies(two=("Two patches", {"name": "foggy_night", "parts": _FOGGY})),
}
"""Bodies of requests: by operationId, media type, then name."""
