"""When an upstream is left alone: a circuit breaker. Time is an argument; the states are values.

Closed: calls go through. Open: calls fail at once, until a probe of ours (half-open) got an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FAILURES = 3  # in a row, with no answer between them
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """`open_until`: when the next probe is due; None while closed. `why`: the last failure."""

    failures: int = 0
    pauses: int = 0
    open_until: float | None = None
    why: str = ""

    @property
    def closed(self) -> bool:
        return self.open_until is None

    def probe_due(self, now: float) -> bool:
        return self.open_until is not None and now >= self.open_until

    def wait(self, now: float) -> float:
        """Seconds until the next probe; 0 while closed."""
        return 0.0 if self.open_until is None else max(0.0, self.open_until - now)


CLOSED = Breaker()


def failed(breaker: Breaker, now: float, why: str) -> Breaker:
    """A call without an answer. The third in a row opens; while open, nothing more is learned."""
    if not breaker.closed:
        return breaker
    failures = breaker.failures + 1
    if failures < FAILURES:
        return replace(breaker, failures=failures, why=why)
    return lost(replace(breaker, failures=failures), now, why)


def lost(breaker: Breaker, now: float, why: str) -> Breaker:
    """The connection is gone, or a probe found nobody: open at once, each time for twice as long."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(breaker.pauses, 16))
    return Breaker(FAILURES, breaker.pauses + 1, now + pause, why)


def answered(breaker: Breaker) -> Breaker:
    """Any answer of the upstream, its own errors too. While open only a probe's counts: see `probed`."""
    return replace(breaker, failures=0, pauses=0, why="") if breaker.closed else breaker


def probed(breaker: Breaker) -> Breaker:
    """A probe got its answer. How long the next pause is will be forgotten with the first good call."""
    return Breaker(pauses=breaker.pauses)
