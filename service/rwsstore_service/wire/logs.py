"""Log lines: one JSON object each, or one line each for people. No request can forge one."""

import json
import logging
import math
import os
import re
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from rwsstore_service.settings import Settings

REQUEST_ID: ContextVar[str] = ContextVar("rwsstore_request_id", default="")
"""The request that is being answered; "" outside of one."""

_OWN = ("rwsstore", "rwsstore_service", "uvicorn.error")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request_id",
    "color_message",  # uvicorn's message once more
}
# Headers are never logged; this is for what a library may quote in an error.
_BEARER = re.compile(r"\b(bearer\s+)[^\s\"',;]+", re.IGNORECASE)
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m", "DEBUG": "\x1b[2m"}
_ID_SHOWN = 8


def configure_logging(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send the process's log lines to standard error, in the format that the settings say.

    For programs only (`rws serve`): it changes logging for the whole process. Called again, it
    replaces what it did before. Other libraries are logged from warnings on.
    """
    target = sys.stderr if stream is None else stream
    handler = _Handler(target)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        colour = target.isatty() and not os.environ.get("NO_COLOR")
        handler.setFormatter(ConsoleFormatter(colour=colour))
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    for name in _OWN:
        logging.getLogger(name).setLevel(level)
    # Of a collector that does not answer we tell once ourselves; the exporter tells all the time.
    patience = logging.WARNING if level == logging.DEBUG else logging.CRITICAL
    logging.getLogger("opentelemetry").setLevel(patience)
    logging.captureWarnings(True)


class _Handler(logging.StreamHandler[TextIO]):
    """Marks the handler that `configure_logging` added."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line, ASCII only; the extra fields of a record stand beside its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; it cannot fail, and the line has no line break."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            "request_id": _request_id(record),
        }
        for name, value in _extras(record):
            finite = isinstance(value, float) and math.isfinite(value)
            plain = value is None or isinstance(value, bool | int) or finite
            line.setdefault(name, value if plain else _text(value))
        exception = _exception(self, record)
        if exception:
            line["exception"] = exception
        return json.dumps(line, allow_nan=False)


class ConsoleFormatter(logging.Formatter):
    """One line for people: time, level, request, logger, message, fields; then a traceback.

    Args:
        colour: whether levels are coloured.
    """

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; only its traceback has further lines, and these are indented."""
        level = f"{record.levelname.lower():<8}"
        if self._colour:
            level = f"{_COLOURS.get(record.levelname, '')}{level}\x1b[0m"
        request = escape(_request_id(record))[:_ID_SHOWN] or "-"
        parts = [_time(record), level, f"{request:<{_ID_SHOWN}}", escape(record.name)]
        parts.append(escape(_message(record)))
        for name, value in _extras(record):
            text = escape(_text(value))
            if not text or any(one in text for one in ' ="'):
                text = '"' + text.replace('"', '\\"') + '"'
            parts.append(f"{escape(name)}={text}")
        lines = [" ".join(parts)]
        lines += [f"    {escape(one)}" for one in _exception(self, record).splitlines()]
        return "\n".join(lines)


def escape(text: str) -> str:
    r"""Write what is not printable (breaks, ESC, marks of direction) as \n, \x.. or \u...."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _request_id(record: logging.LogRecord) -> str:
    return _text(getattr(record, "request_id", None) or REQUEST_ID.get())


def _message(record: logging.LogRecord) -> str:
    try:
        return _redacted(record.getMessage())
    except Exception:  # the arguments do not fit; the line is written all the same
        return _text(record.msg)


def _extras(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, value in vars(record).items() if name not in _STANDARD)


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0] is not None:
        try:
            return _redacted(formatter.formatException(record.exc_info))
        except Exception:
            return record.exc_info[0].__name__
    return _redacted(record.exc_text or "")


def _text(value: object) -> str:
    try:
        return _redacted(str(value))
    except Exception:
        return f"<{type(value).__name__}>"


def _redacted(text: str) -> str:
    return _BEARER.sub(r"\1***", text)
