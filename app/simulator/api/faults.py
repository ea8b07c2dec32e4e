"""Faults by switch: the Nth matching call fails, before or after it took effect."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Literal

LOST = 0  # the connection is cut; nobody knows whether the call took effect


@dataclass
class Fault:
    """The `nth` call of this `method` whose path (below /client/v4) holds `path` as a regular expression,
    and the `times` - 1 calls after it.

    `status` 0 cuts the connection. `when` "before": nothing happened; "after": it happened, but the answer
    does not say so. `retry_after`: seconds, in the header of that name. `hold`: first wait for this.
    """

    nth: int = 1
    method: str = ".*"
    path: str = ""
    when: Literal["before", "after"] = "before"
    status: int = LOST
    times: int = 1
    retry_after: str = ""
    hold: asyncio.Event | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a call came to it: whoever waits with `hold` knows that it is time."""
    seen: int = 0

    def meets(self, method: str, path: str) -> bool:
        """Counts this call; True where it is one that fails."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


@dataclass
class RateLimit:
    """So many calls in a window of so many seconds; more get 429 with the rest of the window to wait."""

    calls: int
    window: float
    _began: float = field(default=float("-inf"))
    _spent: int = 0

    def wait(self, now: float) -> float:
        """0 for a call that is let through, else the seconds to the next window."""
        if now - self._began >= self.window:
            self._began, self._spent = now, 0
        self._spent += 1
        return 0.0 if self._spent <= self.calls else self._began + self.window - now
