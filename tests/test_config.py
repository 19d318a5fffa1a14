"""TOML files that become models, or are refused in one sentence."""

from pathlib import Path
from typing import Self

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from rwsstore.config import validated
from rwsstore.errors import ConfigError, FormatError, MissingFileError
from rwsstore.files import read_toml


class Cup(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int
    filled: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.filled > self.size:
            raise ValueError("it runs over")
        return self


def _write(folder: Path, data: bytes) -> Path:
    path = folder / "cup.toml"
    path.write_bytes(data)
    return path


def test_a_file_becomes_a_model(tmp_path: Path) -> None:
    path = _write(tmp_path, b"size = 3\nfilled = 2\n")
    assert validated(Cup, read_toml(path), what="the cup") == Cup(size=3, filled=2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": "large"}, "the cup: size: Input should be a valid integer"),
        ({"size": 3, "colour": "red"}, "the cup: colour: Extra inputs are not permitted"),
        ({"size": 3, "filled": 4}, "the cup: it runs over"),
        ({}, "the cup: size: Field required"),
    ],
)
def test_the_first_fault_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validated(Cup, fields, what="the cup")


@pytest.mark.parametrize("data", [b"size = ", b"\xff\xfe", b"#" * (2**20 + 1)])
def test_what_is_no_such_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FormatError):
        read_toml(_write(tmp_path, data))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read_toml(tmp_path / "nothing.toml")
