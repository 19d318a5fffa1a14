"""Bodies of the Open Inference Protocol.

Requests are strict: a parameter that is misspelt is refused, not left out of account.
"""

__all__ = [
    "IndexEntry",
    "IndexRequest",
    "InferRequest",
    "InferResponse",
    "InputParameters",
    "ModelMetadata",
    "ModelReady",
    "OutputParameters",
    "RequestInput",
    "RequestOutput",
    "RequestParameters",
    "ResponseOutput",
    "ServerLive",
    "ServerMetadata",
    "ServerReady",
    "TensorMetadata",
]

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rwsstore_service.schemas.fields import Answer

_Name = Annotated[str, Field(max_length=256)]
_ParameterValue = bool | int | float | str


class _Request(BaseModel):
    """A part of what a client sends."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class InputParameters(_Request):
    """Parameters of an input."""

    binary_data_size: int | None = None


class RequestInput(_Request):
    """One input; its data are here, or behind the JSON in binary."""

    name: _Name
    shape: Annotated[list[int], Field(max_length=8)]
    datatype: Annotated[str, Field(max_length=16)]
    parameters: InputParameters = InputParameters()
    data: Any = None


class OutputParameters(_Request):
    """Parameters of an output; `classification` is known only so that it can be refused."""

    binary_data: bool | None = None
    classification: Any = None


class RequestOutput(_Request):
    """One output that is asked for."""

    name: _Name
    parameters: OutputParameters = OutputParameters()


class RequestParameters(_Request):
    """Parameters of a request."""

    patchset: Annotated[str, Field(max_length=65_536)] = "active"
    binary_data_output: bool = False
    timeout: Annotated[int, Field(ge=0, le=3_600_000_000)] = 0  # microseconds; 0 is none


class InferRequest(_Request):
    """The JSON of an inference request."""

    id: Annotated[str, Field(max_length=1024)] | None = None
    parameters: RequestParameters = RequestParameters()
    inputs: Annotated[list[RequestInput], Field(min_length=1, max_length=64)]
    outputs: Annotated[list[RequestOutput], Field(max_length=64)] = []


class IndexRequest(_Request):
    """The JSON of a request for the repository's index."""

    ready: bool = False


class ServerMetadata(Answer):
    """What serves."""

    name: Literal["rwsstore"]
    version: str
    extensions: list[str] = Field(description="Of the protocol, that are supported.")


class ServerLive(Answer):
    """That the process answers."""

    live: Literal[True]


class ServerReady(Answer):
    """That every model can predict."""

    ready: Literal[True]


class ModelReady(Answer):
    """That one model can predict."""

    name: str
    ready: Literal[True]


class TensorMetadata(Answer):
    """One input or output."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1 where the number of images stands.")
    parameters: dict[str, _ParameterValue] | None = None


class ModelMetadata(Answer):
    """One model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexEntry(Answer):
    """One model of the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = Field(description="Why it is in this state; empty where it is ready.")


class ResponseOutput(Answer):
    """One output; with `binary_data_size` its data stand behind the JSON, else in `data`."""

    name: Literal["logits", "labels"]
    datatype: Literal["FP32", "BYTES"]
    shape: list[int]
    parameters: dict[str, _ParameterValue] | None = None
    data: list[float] | list[str] | None = Field(None, description="Flat, image after image.")


class InferResponse(Answer):
    """The JSON of an answer to an inference request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_name": "bundled",
                    "model_version": "1",
                    "id": "42",
                    "parameters": {
                        "patchset": "fog=0.6",
                        "state_digest": "9f3c…",
                    },
                    "outputs": [
                        {"name": "labels", "datatype": "BYTES", "shape": [1], "data": ["ship"]}
                    ],
                }
            ]
        }
    )

    model_name: str
    model_version: Literal["1"]
    id: str | None = Field(None, description="As it was in the request; absent where it had none.")
    parameters: dict[str, _ParameterValue] = Field(
        description="patchset: what computed it, in the words of a request; state_digest: of its "
        "weights; generation: of the active patch set, absent where the request brought its own."
    )
    outputs: list[ResponseOutput]
