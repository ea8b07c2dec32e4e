"""How much an upstream may say without having been asked. Pure; time is an argument."""

from __future__ import annotations

BURST = 1000  # messages
PER_SECOND = 500.0


class Inflow:
    """A bucket of messages. `overflows` is told of each, or of `many`; True: this upstream floods us."""

    def __init__(self, now: float, burst: float = BURST, per_second: float = PER_SECOND) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._at = burst, now

    def overflows(self, now: float, many: int = 1) -> bool:
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._per_second) - many
        self._at = now
        return self._left < 0
