"""Log lines: whatever is logged, one line that can be read."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import given, strategies as st

from rwsstore_service.settings import Settings
from rwsstore_service.wire.logs import (
    REQUEST_ID,
    ConsoleFormatter,
    JsonFormatter,
    configure_logging,
)

LOGGERS = ("", "rwsstore", "rwsstore_service", "uvicorn.error", "opentelemetry", "py.warnings")

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text()),
)
# As JSON knows no lone surrogates, so do its readers; a path may hold them all the same.
text = st.text(st.characters(codec=None))


class Broken:
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def record(message: object, *args: object, **extras: object) -> logging.LogRecord:
    made = logging.LogRecord("rwsstore.test", logging.INFO, __file__, 1, message, args, None)
    vars(made).update(extras)
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def as_text(made: logging.LogRecord) -> str:
    return ConsoleFormatter(colour=False).format(made)


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Puts logging back as it was."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(one.level, one.handlers[:]) for one in loggers]
    yield
    logging.captureWarnings(False)
    for one, (level, handlers) in zip(loggers, before, strict=True):
        one.setLevel(level)
        one.handlers[:] = handlers


@given(message=text, extras=st.dictionaries(text.map("x{}".format), anything), request_id=text)
def test_json_is_one_object_on_one_line(
    message: str, extras: dict[str, object], request_id: str
) -> None:
    found = as_json(record("%s", message, request_id=request_id, **extras))

    assert set(found) == {"time", "level", "logger", "message", "request_id", *extras}
    assert found["level"] == "info"
    if "bearer" not in message.lower():
        assert found["message"] == message


def test_every_control_character_is_escaped() -> None:
    controls = "".join(map(chr, [*range(32), *range(127, 160), 0x2028, 0x202E, 0xFEFF, 0xD800]))
    assert as_json(record("%s", controls))["message"] == controls
    assert as_text(record("%s", controls, path=controls)).isprintable()


@given(message=text, value=text)
def test_the_console_gets_one_printable_line(message: str, value: str) -> None:
    assert as_text(record("%s", message, path=value)).isprintable()


def test_time_is_rfc_3339_in_utc() -> None:
    made = record("x")
    made.created = 1_772_357_412.345
    assert as_json(made)["time"] == "2026-03-01T09:30:12.345Z"
    assert as_text(made).startswith("2026-03-01T09:30:12.345Z info     -        rwsstore.test x")


@pytest.mark.parametrize("name", ["time", "level", "logger", "exception"])
def test_fields_of_the_line_cannot_be_taken_over(name: str) -> None:
    error = None
    try:
        raise ValueError("a real one")
    except ValueError:
        error = sys.exc_info()
    made = record("x", **{name: "forged"})
    made.exc_info = error
    assert as_json(made)[name] != "forged"


def test_the_request_id_is_the_contexts_unless_the_record_has_one() -> None:
    token = REQUEST_ID.set("abcdef0123456789")
    try:
        assert as_json(record("x"))["request_id"] == "abcdef0123456789"
        assert as_json(record("x", request_id="other"))["request_id"] == "other"
        assert " abcdef01 rwsstore.test x" in as_text(record("x"))
    finally:
        REQUEST_ID.reset(token)
    assert as_json(record("x"))["request_id"] == ""


def test_numbers_stay_numbers_and_nan_is_a_string() -> None:
    found = as_json(record("x", status=200, ms=1.5, worst=float("nan"), none=None, ok=True))
    assert found["status"] == 200
    assert found["ms"] == 1.5
    assert found["worst"] == "nan"
    assert found["none"] is None
    assert found["ok"] is True


def test_uvicorns_coloured_message_is_left_out() -> None:
    made = record("Started server process [%d]", 7, color_message="Started [\x1b[36m%d\x1b[0m]")
    assert set(as_json(made)) == {"time", "level", "logger", "message", "request_id"}
    assert as_text(made).endswith("Started server process [7]")


def test_what_cannot_be_shown_is_named() -> None:
    found = as_json(record("%s", Broken(), thing=Broken()))
    assert found["thing"] == "<Broken>"
    assert found["message"] == "%s"


def test_arguments_that_do_not_fit_lose_no_line() -> None:
    assert as_json(record("%d of %d", "one"))["message"] == "%d of %d"
    assert "%d of %d" in as_text(record("%d of %d", "one"))


def raised(message: str) -> logging.LogRecord:
    made = record("it failed")
    try:
        raise RuntimeError(message)
    except RuntimeError:
        made.exc_info = sys.exc_info()
    return made


def test_an_exception_is_one_field() -> None:
    found = as_json(raised("bad\nline\x1b[31m"))
    assert found["message"] == "it failed"
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith("RuntimeError: bad\nline\x1b[31m")


def test_an_exception_on_the_console_is_indented_and_escaped() -> None:
    first, *rest = as_text(raised("bad\n2026-01-01T00:00:00.000Z info forged\x1b[31m")).split("\n")
    assert first.endswith("it failed")
    assert len(rest) >= 3
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1].endswith("forged\\x1b[31m")


def test_console_fields_are_quoted_where_they_would_read_as_others() -> None:
    line = as_text(record("answered", status=200, path='/a b status=500 "x"\n', empty=""))
    assert line.endswith('answered status=200 path="/a b status=500 \\"x\\"\\n" empty=""')


@pytest.mark.parametrize(
    "message",
    ["Authorization: Bearer s3cr3t-t0ken", "b'bearer s3cr3t-t0ken'", "BEARER  s3cr3t-t0ken"],
)
def test_a_bearer_token_in_a_message_is_replaced(message: str) -> None:
    for made in (record("%s", message), record("x", header=message), raised(message)):
        assert "s3cr3t" not in JsonFormatter().format(made)
        assert "s3cr3t" not in as_text(made)


def test_colour_is_for_terminals(
    kept_logging: None, monkeypatch: pytest.MonkeyPatch, tty: io.StringIO
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for stream, coloured in ((tty, True), (io.StringIO(), False)):
        configure_logging(Settings(), stream=stream)
        logging.getLogger("rwsstore").error("x")
        assert ("\x1b[31m" in stream.getvalue()) is coloured


def test_no_color_is_heeded(
    kept_logging: None, monkeypatch: pytest.MonkeyPatch, tty: io.StringIO
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logging(Settings(), stream=tty)
    logging.getLogger("rwsstore").error("x")
    assert "\x1b" not in tty.getvalue()


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    return stream


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def settings(level: Literal["debug", "info", "warning", "error"] = "info") -> Settings:
    return Settings(log_format="json", log_level=level)


def test_our_loggers_are_logged_at_the_level_asked_for(kept_logging: None) -> None:
    stream = io.StringIO()
    configure_logging(settings("debug"), stream=stream)
    for name in ("rwsstore.store", "rwsstore_service.access", "uvicorn.error", "PIL", "asyncio"):
        logging.getLogger(name).debug("fine")
        logging.getLogger(name).warning("coarse")

    seen = [(line["logger"], line["level"]) for line in lines_of(stream)]
    ours = ("rwsstore.store", "rwsstore_service.access", "uvicorn.error")
    assert seen == [(name, level) for name in ours for level in ("debug", "warning")] + [
        ("PIL", "warning"),
        ("asyncio", "warning"),
    ]


def test_configured_again_it_logs_once(kept_logging: None) -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(settings(), stream=first)
    configure_logging(settings("error"), stream=second)
    logging.getLogger("rwsstore").warning("no")
    logging.getLogger("rwsstore").error("yes")

    assert first.getvalue() == ""
    assert [line["message"] for line in lines_of(second)] == ["yes"]


def test_it_writes_to_standard_error(
    kept_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(settings())
    logging.getLogger("rwsstore").info("here")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["message"] == "here"


def test_warnings_of_python_are_lines_too(kept_logging: None) -> None:
    stream = io.StringIO()
    logging.captureWarnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging(settings(), stream=stream)
        warnings.warn("old\nthing", UserWarning, stacklevel=1)
    (line,) = lines_of(stream)
    assert line["logger"] == "py.warnings"
    assert "UserWarning: old\nthing" in line["message"]
