"""What the audit log tells of the last days, in the few figures that a page shows. Times are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

HOUR = 3_600_000
DAY = 24 * HOUR
WEEK = 7 * DAY


@dataclass(frozen=True, slots=True)
class PastCall:
    """One record, without its arguments. `principal` is empty where a door refused before it knew anybody."""

    at: int
    door: str
    principal: str
    operation: str
    name: str
    decision: str
    reason: str
    status: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A principal of the last seven days; signing in counts as being seen, not as a call."""

    principal: str
    kind: str
    last: int
    calls_day: int
    denied_day: int
    calls_week: int
    denied_week: int


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour from `start`. `calls` are all that were decided, `denied` among them; `refused` at a door."""

    start: int
    calls: int
    denied: int
    refused: int


@dataclass(frozen=True, slots=True)
class Activity:
    """`whole` is False where the week has more records than are counted; `since` says from when they are."""

    since: int
    whole: bool
    seen: tuple[Seen, ...]
    hours: tuple[Hour, ...]  # 24, the newest first
    denials: tuple[PastCall, ...]
    refusals: tuple[PastCall, ...]
