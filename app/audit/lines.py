"""Log lines on standard error, for people or for machines.

What comes from outside (paths, names) is escaped, so that nobody can forge a line.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict

from app.audit.events import Event

# These would log arguments, and with them notes, at DEBUG.
_NEVER_DEBUG = ("fastmcp", "mcp", "sqlalchemy", "aiosqlite", "httpx2", "httpcore2", "asyncio", "alembic")


class TextLines(logging.Formatter):
    """`time level message key=value …`, one line whatever is in the values."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [
            self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            record.levelname,
            _one_line(record.getMessage()),
        ]
        parts += [f"{key}={_quoted(value)}" for key, value in _fields(record).items()]
        if record.exc_info:
            parts.append("\n" + self.formatException(record.exc_info))
        return " ".join(parts)


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str, form: str) -> None:
    """Sends all logging to standard error (standard output belongs to stdio clients). For the roots."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _NEVER_DEBUG:
        quiet = logging.getLogger(name)
        quiet.handlers.clear()
        quiet.propagate = True
        quiet.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    event = getattr(record, "event", None)
    if not isinstance(event, Event):
        return {}
    return {key: value for key, value in asdict(event).items() if value not in ("", (), 0.0)}


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n") if "\n" in text or "\r" in text else text


def _quoted(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
