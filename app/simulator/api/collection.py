"""Objects of one kind, and what a list that lags behind shows of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Wire = dict[str, Any]


class Collection:
    """By id. What comes out is a copy: nobody changes the account but through it.

    `moment` counts the calls so far; a list with a lag shows the objects as they were so many calls ago.
    """

    def __init__(self, moment: Callable[[], int]) -> None:
        self._moment = moment
        self._now: dict[str, Wire] = {}
        self._changes: list[tuple[int, str, Wire | None]] = []

    def put(self, value: Wire) -> Wire:
        """Adds or replaces the object with this `id`."""
        kept = copy.deepcopy(value)
        self._now[kept["id"]] = kept
        self._changes.append((self._moment(), kept["id"], kept))
        return copy.deepcopy(kept)

    def remove(self, id: str) -> None:
        del self._now[id]
        self._changes.append((self._moment(), id, None))

    def get(self, id: str) -> Wire | None:
        return copy.deepcopy(self._now.get(id))

    def all(self) -> list[Wire]:
        """The truth, in the order of creation."""
        return copy.deepcopy(list(self._now.values()))

    def listed(self, lag: int) -> list[Wire]:
        """What a list shows."""
        if not lag:
            return self.all()
        shown: dict[str, Wire] = {}
        for moment, id, value in self._changes:
            if moment >= self._moment() - lag:
                break
            if value is None:
                shown.pop(id, None)
            else:
                shown[id] = value
        return copy.deepcopy(list(shown.values()))
