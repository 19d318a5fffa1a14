"""Every setting of the service, in one class; each is an environment variable `RWS_…`."""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rwsstore.config import first_fault
from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.runtime.formats import FORMATS
from rwsstore.store import default_store_path

BUNDLED = "bundled"

MODEL_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Names of models in URLs."""

AUTO = "auto"
"""The compute format that is chosen at the start."""

_MIB = 2**20

# A DNS name, an IPv4 address, or an IPv6 address in brackets.
HostName = Annotated[str, Field(pattern=r"^([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])$")]

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What an operator may choose. The defaults start a service for this machine alone.

    `Settings()` reads the environment; `Settings.of(...)` does too and refuses with a
    `ConfigError` that names the variable. The description of each field is its documentation,
    shown in docs/operate/settings.md.
    """

    model_config = SettingsConfigDict(
        env_prefix="RWS_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        max_length=255,
        description="Address to listen on. Any but a loopback address needs an admin token.",
    )
    port: int = Field(
        8000, ge=0, le=65535, description="Port to listen on; 0 takes one that is free."
    )
    model: str = Field(
        BUNDLED,
        min_length=1,
        description="Checkpoint of the clean model (.safetensors), or bundled: the CIFAR-10 "
        "classifier that comes with rwsstore.",
    )
    model_name: str | None = Field(
        None,
        pattern=MODEL_NAME_PATTERN,
        description="What the model is called in URLs. Default: bundled, or the checkpoint's "
        "file name without its ending.",
    )
    store: Path | None = Field(
        None,
        description="Folder of the patch store, with the bundled patches beneath. Default: the "
        "platform's data directory.",
    )
    state: Path | None = Field(
        None,
        description="Folder of the generations and the audit log. Default: beside the store, "
        "named as it is with .state behind. One service at a time uses it.",
    )
    admin_tokens: SecretStr = Field(
        SecretStr(""),
        description="Who may change patches, name:token[,name:token...]; a token best has 16 "
        "characters or more. On a loopback address without any, a random one is made and printed "
        "once.",
    )
    admin_tokens_file: Path | None = Field(
        None, description="The same in a file, one name:token a line; read at start."
    )
    predict_tokens: SecretStr = Field(
        SecretStr(""),
        description="Who may read and predict, name:token[,name:token...]. Without any, everybody "
        "who reaches the service may.",
    )
    predict_tokens_file: Path | None = Field(
        None, description="The same in a file, one name:token a line; read at start."
    )
    open_metrics: bool = Field(
        True, description="Whether /metrics answers without a token, as a scraper expects."
    )
    docs: bool = Field(True, description="Whether /docs and /openapi.json are served.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may call the service, separated by commas."
    )
    allowed_hosts: Annotated[tuple[HostName, ...], NoDecode] = Field(
        (),
        description="Names with a dot that requests may ask for in their Host header, separated by "
        "commas, without ports. Default: none on a loopback address, every one on any other. "
        "Addresses and names of one word (localhost, edge-box) are always answered.",
    )
    allow_transfer: bool = Field(
        False,
        description="Accept patches that were extracted from other clean weights of the same "
        "architecture.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads to compute with. Default: the cores that this process may really "
        "use, its cgroup's quota included.",
    )
    lanes: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Batches computed at the same time, each with its share of the threads; one "
        "that is alone has all of them. Never more than threads, and 1 without batching. Default: "
        "2, so that one computes on while the other waits for the core that serves requests.",
    )
    decode_threads: int | None = Field(
        None, ge=1, le=64, description="Threads that decode images. Default: as many."
    )
    compute: str = Field(
        AUTO,
        description="How the model is computed. auto: the fastest of the formats that its card "
        "offers, told by a short probe at the start; without batching float32. Or, offered or not: "
        f"{', '.join(FORMATS)} (docs/operate/compute-formats.md).",
    )
    batching: bool = Field(
        True,
        description="Whether requests that wait are computed together, whatever their patch sets. "
        "Without it a request's logits are equal to the bit to the library's on the same images.",
    )
    max_batch: int = Field(64, ge=1, le=4096, description="Most images computed together.")
    batch_wait_ms: float = Field(
        10.0,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="Most milliseconds that a batch waits for more requests, right after one of "
        "several; never more than half of what that one took, and never when idle. 0: never.",
    )
    queue_size: int = Field(
        64, ge=1, le=10_000, description="Most requests that wait to be computed; then 503."
    )
    queue_timeout: Seconds = Field(
        30.0,
        description="Seconds within which a prediction that does not say how long it waits is to "
        "be begun; then 504.",
    )
    resident_bytes: int = Field(
        256 * _MIB,
        ge=0,
        le=2**40,
        description="Most bytes of patched models, each the tensors that its patches touch, and "
        "of patches in use, kept ready beside the active one.",
    )
    max_images: int = Field(64, ge=1, le=1024, description="Most images in one request.")
    max_pixels: int = Field(
        25_000_000,
        ge=1024,
        le=100_000_000,
        description="Most pixels of one image; told from its header, before it is decoded.",
    )
    max_image_bytes: int = Field(
        16 * _MIB, ge=1024, le=64 * _MIB, description="Most bytes of one image file."
    )
    max_body_bytes: int = Field(
        64 * _MIB, ge=1024, le=1024 * _MIB, description="Most bytes of one request's body."
    )
    max_patch_bytes: int = Field(
        64 * _MIB, ge=1024, le=256 * _MIB, description="Most bytes of an uploaded patch."
    )
    max_header_bytes: int = Field(
        32_768, ge=4096, le=_MIB, description="Most bytes of a request's line and headers."
    )
    max_request_patches: int = Field(
        32, ge=1, le=1000, description="Most patches in the set that a prediction brings along."
    )
    max_requests: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Most requests at once, their bodies in memory; then 503. Health checks are "
        "not counted.",
    )
    max_connections: int = Field(
        1024, ge=2, le=100_000, description="Most connections at once; more are closed."
    )
    header_timeout: Seconds = Field(
        10.0, description="Seconds from the start of a connection or request to its last header."
    )
    body_timeout: Seconds = Field(
        30.0, description="Seconds from the last header to the end of the body."
    )
    idle_timeout: Seconds = Field(
        15.0, description="Seconds that a connection may stay without a request."
    )
    write_timeout: Seconds = Field(
        30.0, description="Seconds that a client may take no byte of an answer."
    )
    shutdown_timeout: Seconds = Field(
        20.0, description="Seconds to finish what was accepted when told to stop."
    )
    rate_limit: float = Field(
        500.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="Requests a second for each token, or address where there is none; then 429. "
        "0: no limit.",
    )
    rate_burst: int = Field(
        1000, ge=1, le=1_000_000, description="Requests that may come at once within the limit."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people, or one JSON object each."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe that is logged."
    )
    tracing_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="OTLP collector over HTTP that traces are sent to (http://host:4318/v1/traces);"
        " needs the extra tracing. Without it the service opens no connection.",
    )

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Make settings of the environment and of values that come before it.

        Args:
            values: by field name; None leaves a field to the environment.

        Raises:
            ConfigError: a value is not allowed; the message names its variable.
        """
        given = {name: value for name, value in values.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            fault = first_fault(error, name=_variable)
            raise ConfigError(f"{fault} (see docs/operate/settings.md)") from None

    @field_validator("compute")
    @classmethod
    def _check_compute(cls, value: str) -> str:
        if value not in (AUTO, *FORMATS):
            raise UnknownNameError("compute format", value, (AUTO, *FORMATS))
        return value

    @field_validator("cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.max_image_bytes > self.max_body_bytes:
            raise ValueError("RWS_MAX_IMAGE_BYTES is more than RWS_MAX_BODY_BYTES")
        if 0 < self.rate_limit < 0.001:
            raise ValueError("RWS_RATE_LIMIT is 0 for no limit, else 0.001 or more")
        if not re.fullmatch(MODEL_NAME_PATTERN, self.served_name):
            raise ValueError(
                f"the checkpoint's name {self.served_name[:64]!a} cannot stand in URLs; give the "
                "model another with RWS_MODEL_NAME"
            )
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def state_path(self) -> Path:
        """The folder of generations and audit log."""
        if self.state is not None:
            return self.state.expanduser().absolute()
        bundled = self.store is not None and str(self.store) == BUNDLED  # nothing lies beside that
        store = default_store_path() if self.store is None or bundled else self.store
        store = store.expanduser().absolute()
        return store.with_name(f"{store.name}.state")

    @property
    def served_name(self) -> str:
        """What the model is called in URLs."""
        return self.model_name or (BUNDLED if self.model == BUNDLED else Path(self.model).stem)


def _variable(steps: Sequence[str | int]) -> str:
    return f"RWS_{steps[0]}".upper() if steps else ""
