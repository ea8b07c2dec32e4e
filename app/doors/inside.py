"""Who is inside a door at the moment, so that somebody who is shut off is also thrown out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import anyio

from app.policy.denies import Denies


class Inside:
    """The requests that run now, by principal. All on one event loop."""

    def __init__(self) -> None:
        self._scopes: dict[str, set[anyio.CancelScope]] = {}

    @contextlib.contextmanager
    def entered(self, principal_id: str) -> Iterator[anyio.CancelScope]:
        """Around one request. It ends early, without an exception, when `cut` names the principal."""
        running = self._scopes.setdefault(principal_id, set())
        with anyio.CancelScope() as scope:
            running.add(scope)
            try:
                yield scope
            finally:
                running.discard(scope)
                if not running:
                    self._scopes.pop(principal_id, None)

    def cut(self, denies: Denies) -> None:
        """Ends what runs for those who are shut off now: also streams that would go on for hours."""
        for principal_id, scopes in list(self._scopes.items()):
            if denies.tunnel or principal_id in denies.principals:
                for scope in list(scopes):
                    scope.cancel()
