"""The answer to an inference request, as the bytes that are sent."""

__all__ = ["Written", "patchset_text", "write_answer"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from torch import Tensor

from rwsstore_service.engine.records import Chosen, Prediction
from rwsstore_service.oip import binary_codec, json_codec
from rwsstore_service.oip.contract import FP32, LOGITS, VERSION, Contract
from rwsstore_service.oip.requests import Asked
from rwsstore_service.problems import ProblemError

# So many logits are sooner looked through here than by torch, whose operations also let go of the
# interpreter, which a thread that computes then keeps for a while.
_FEW = 256


@dataclass(frozen=True)
class Written:
    """A body.

    Attributes:
        body: the JSON, and behind it the outputs that are binary.
        header_length: bytes of the JSON; None where there is nothing behind it.
    """

    body: bytes
    header_length: int | None


def write_answer(asked: Asked, prediction: Prediction, contract: Contract) -> Written:
    """Write what was computed.

    Raises:
        ProblemError: the logits are not finite (`not-finite`).
    """
    logits = prediction.logits
    if not _are_finite(logits):
        raise ProblemError(
            "not-finite",
            "the logits are not finite with these patches; give them smaller strengths",
        )
    outputs, parts = [], []
    for output in asked.outputs:
        described, part = _write_output(output.name, output.binary, logits, contract)
        outputs.append(described)
        parts.append(part)
    header = json_codec.write_json(_describe(asked, prediction, contract) | {"outputs": outputs})
    framed = any(output.binary for output in asked.outputs)
    return Written(b"".join([header, *parts]), len(header) if framed else None)


def patchset_text(patches: Sequence[Chosen]) -> str:
    """Write a patch set as a request names it, sorted: `fog=0.6,gaussian_blur=0.4`, or `none`."""
    named = sorted((one.patch, one.alpha) for one in patches)
    return ",".join(f"{patch}={repr(alpha).removesuffix('.0')}" for patch, alpha in named) or "none"


def _describe(asked: Asked, prediction: Prediction, contract: Contract) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "patchset": patchset_text(prediction.patches),
        "state_digest": prediction.state_digest,
    }
    if prediction.generation is not None:
        parameters["generation"] = prediction.generation
    described = {"model_name": contract.model, "model_version": VERSION, "parameters": parameters}
    return described if asked.id is None else described | {"id": asked.id}


def _write_output(
    name: str, binary: bool, logits: Tensor, contract: Contract
) -> tuple[dict[str, Any], bytes]:
    if name == LOGITS:
        described: dict[str, Any] = {"name": name, "datatype": FP32, "shape": list(logits.shape)}
        if not binary:
            return described | {"data": list(chain.from_iterable(logits.tolist()))}, b""
        part = binary_codec.write_floats(logits)
    else:
        labels = [contract.classes[index] for index in _likeliest(logits)]
        described = {"name": name, "datatype": "BYTES", "shape": [len(labels)]}
        if not binary:
            return described | {"data": labels}, b""
        part = binary_codec.write_texts(labels)
    return described | {"parameters": {"binary_data_size": len(part)}}, part


def _are_finite(logits: Tensor) -> bool:
    if logits.numel() <= _FEW:
        return all(map(math.isfinite, chain.from_iterable(logits.tolist())))
    return bool(logits.isfinite().all())


def _likeliest(logits: Tensor) -> list[int]:
    """The number of each image's likeliest class; of equally likely ones the first."""
    if logits.numel() <= _FEW:
        return [max(range(len(row)), key=row.__getitem__) for row in logits.tolist()]
    return cast("list[int]", logits.argmax(dim=1).tolist())
