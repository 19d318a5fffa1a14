"""An inference request, from the bytes that came to the images in it, and its answer as bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from torch import Tensor

from rwsstore.patches.quantization import all_finite
from rwsstore.runtime import Chosen
from rwsstore_service.api.faults import read_fault
from rwsstore_service.api.oip import codecs
from rwsstore_service.api.oip.contract import (
    FP32,
    IMAGES,
    LOGITS,
    OUTPUTS,
    UINT8,
    VERSION,
    Contract,
    IndexRequest,
    InferRequest,
    JsonLimits,
    RequestInput,
    RequestOutput,
    RequestParameters,
)
from rwsstore_service.api.predict import FEW_LOGITS
from rwsstore_service.engine.records import PredictedImages
from rwsstore_service.wire.problems import ProblemError

_INDEX_LIMITS = JsonLimits(size=4096, items=64, containers=64)

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class AskedOutput:
    """One output, and whether it goes behind the JSON."""

    name: str
    binary: bool


@dataclass(frozen=True)
class Asked:
    """What a request asks.

    Attributes:
        id: to be returned; None where there was none.
        patchset: as it was written.
        images: uint8, or float32 within [0, 1]; [n, 3, H, W].
        outputs: in the order of the answer.
        timeout: seconds within which it is to be begun; None where it does not say.
    """

    id: str | None
    patchset: str
    images: Tensor
    outputs: tuple[AskedOutput, ...]
    timeout: float | None = None


def read_request(body: bytes, header_length: str | None, contract: Contract) -> Asked:
    """Read an inference request.

    Args:
        body: JSON, and behind it what it says is binary.
        header_length: value of Inference-Header-Content-Length, if it was sent.
        contract: what the model takes.

    Raises:
        ProblemError: `bad-request`, `too-large` or `invalid-request`.
    """
    text, rest = codecs.split_body(body, header_length)
    request = _validate(InferRequest, codecs.parse_json(text, contract.json_limits))
    outputs = _read_outputs(request.outputs, request.parameters)
    images = _read_images(_the_input(request.inputs), rest, header_length is not None, contract)
    asked = request.parameters
    timeout = asked.timeout / 1e6 if asked.timeout else None  # 0 is none, as Triton has it
    return Asked(request.id, asked.patchset, images, outputs, timeout)


def read_index_request(body: bytes) -> IndexRequest:
    """Read a request for the repository's index; it may be empty.

    Raises:
        ProblemError: as `read_request`.
    """
    return _validate(IndexRequest, codecs.parse_json(body or b"{}", _INDEX_LIMITS))


def _validate(kind: type[Body], value: Any) -> Body:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fault = read_fault(error.errors(include_url=False, include_input=False)[0])
        where = fault["where"] or "the request"
        raise ProblemError("invalid-request", f"{where}: {fault['message']}") from None


def _the_input(inputs: Sequence[RequestInput]) -> RequestInput:
    for given in inputs:
        if given.name != IMAGES:
            raise ProblemError(
                "invalid-request", f"unknown input {given.name!a}; the model takes one, {IMAGES!r}"
            )
    if len(inputs) > 1:
        raise ProblemError("invalid-request", f"input {IMAGES!r} is given {len(inputs)} times")
    return inputs[0]


def _read_images(given: RequestInput, rest: memoryview, framed: bool, contract: Contract) -> Tensor:
    if given.datatype not in (UINT8, FP32):
        raise ProblemError(
            "invalid-request",
            f"images has datatype {given.datatype!a}; expected {UINT8}, or {FP32} within [0, 1]",
        )
    shape = contract.check_shape(given.shape)
    size, binary = 0, given.parameters.binary_data_size is not None
    if binary:
        size = contract.byte_count(shape, given.datatype)
        _check_binary(given, framed, size)
    if len(rest) != size:
        raise ProblemError(
            "bad-request", f"{len(rest)} bytes stand behind the JSON; expected {size}"
        )
    if binary:
        images = codecs.read_binary(rest, shape, given.datatype)
    else:
        images = codecs.read_numbers(given.data, shape, given.datatype)
    if images.is_floating_point():
        low, high = float(images.amin()), float(images.amax())
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise ProblemError(
                "invalid-request",
                f"images holds numbers from {low} to {high}; expected finite ones within [0, 1]",
            )
    return images


def _check_binary(given: RequestInput, framed: bool, expected: int) -> None:
    if given.data is not None:
        raise ProblemError("invalid-request", "images has data as well as binary_data_size")
    if not framed:
        raise ProblemError(
            "bad-request", "binary_data_size without the header Inference-Header-Content-Length"
        )
    found = given.parameters.binary_data_size
    if found != expected:
        raise ProblemError(
            "invalid-request",
            f"images has binary_data_size {str(found)[:40]}; its shape and datatype have "
            f"{expected} bytes",
        )


def _read_outputs(
    asked: Sequence[RequestOutput], parameters: RequestParameters
) -> tuple[AskedOutput, ...]:
    names = [output.name for output in asked]
    for output in asked:
        if output.name not in OUTPUTS:
            raise ProblemError(
                "invalid-request",
                f"unknown output {output.name!a}; the model has {' and '.join(OUTPUTS)}",
            )
        if "classification" in output.parameters.model_fields_set:
            raise ProblemError(
                "invalid-request", "classification is not supported: read labels, or rank logits"
            )
    if len(set(names)) != len(names):
        raise ProblemError("invalid-request", "an output is asked for twice")
    default = parameters.binary_data_output
    if not asked:
        return tuple(AskedOutput(name, default) for name in OUTPUTS)
    chosen = [(output.name, output.parameters.binary_data) for output in asked]
    return tuple(
        AskedOutput(name, default if binary is None else binary) for name, binary in chosen
    )


@dataclass(frozen=True)
class Written:
    """A body.

    Attributes:
        body: the JSON, and behind it the outputs that are binary.
        header_length: bytes of the JSON; None where there is nothing behind it.
    """

    body: bytes
    header_length: int | None


def write_answer(asked: Asked, prediction: PredictedImages, contract: Contract) -> Written:
    """Write what was computed.

    Raises:
        ProblemError: the logits are not finite (`not-finite`).
    """
    logits = prediction.logits
    if not all_finite(logits):
        raise ProblemError(
            "not-finite",
            "the logits are not finite with these patches; give them smaller strengths",
        )
    outputs, parts = [], []
    for output in asked.outputs:
        described, part = _write_output(output.name, output.binary, logits, contract)
        outputs.append(described)
        parts.append(part)
    header = codecs.write_json(_describe(asked, prediction, contract) | {"outputs": outputs})
    framed = any(output.binary for output in asked.outputs)
    return Written(b"".join([header, *parts]), len(header) if framed else None)


def patchset_text(patches: Sequence[Chosen]) -> str:
    """Write a patch set as a request names it, sorted: `fog=0.6,gaussian_blur=0.4`, or `none`."""
    named = sorted((one.patch, one.alpha) for one in patches)
    return ",".join(f"{patch}={repr(alpha).removesuffix('.0')}" for patch, alpha in named) or "none"


def _describe(asked: Asked, prediction: PredictedImages, contract: Contract) -> dict[str, Any]:
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
        part = codecs.write_floats(logits)
    else:
        labels = [contract.classes[index] for index in _likeliest(logits)]
        described = {"name": name, "datatype": "BYTES", "shape": [len(labels)]}
        if not binary:
            return described | {"data": labels}, b""
        part = codecs.write_texts(labels)
    return described | {"parameters": {"binary_data_size": len(part)}}, part


def _likeliest(logits: Tensor) -> list[int]:
    """The number of each image's likeliest class; of equally likely ones the first."""
    if logits.numel() <= FEW_LOGITS:
        return [max(range(len(row)), key=row.__getitem__) for row in logits.tolist()]
    return cast("list[int]", logits.argmax(dim=1).tolist())
