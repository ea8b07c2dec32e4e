"""Events on their way out of the process: log lines and Prometheus counters.

No token, code, secret, argument or note text is in an Event; what comes from outside (paths, names) is
escaped, so that nobody can forge a line.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from app.audit.events import Event

log = logging.getLogger("brain")
# These would log arguments, and with them notes, at DEBUG.
_NEVER_DEBUG = ("fastmcp", "mcp", "sqlalchemy", "aiosqlite", "httpx2", "httpcore2", "asyncio", "alembic")


class Observer:
    """Takes every Event of the process. `text()` is the Prometheus exposition."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter(
            "brain_events",
            "Decisions and refusals by door, operation, decision and (for refusals) reason.",
            ("door", "operation", "decision", "reason"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "brain_operation_seconds",
            "Time that allowed operations took.",
            ("operation",),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )

    def __call__(self, event: Event) -> None:
        # The first word of a refusal's reason is one of a small set; the policy's reasons are not.
        reason = event.reason.partition(" ")[0] if event.decision == "refuse" else ""
        self._events.labels(event.door, event.operation, event.decision, reason).inc()
        if event.decision == "allow":
            self._seconds.labels(event.operation).observe(event.ms / 1000)
            log.debug("allow", extra={"event": event})
        else:
            log.info("%s", event.decision, extra={"event": event})

    def text(self) -> bytes:
        return generate_latest(self._registry)


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
