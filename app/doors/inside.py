"""Who is inside a door at the moment, so that somebody who is shut off is also thrown out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import anyio

from app.policy.denies import Denies
from app.principal import Principal


class Inside:
    """The requests that run now, by principal. All on one event loop."""

    def __init__(self) -> None:
        self._scopes: dict[Principal, set[anyio.CancelScope]] = {}

    @contextlib.contextmanager
    def entered(self, principal: Principal) -> Iterator[anyio.CancelScope]:
        """Around one request. It ends early, without an exception, when `cut` shuts `principal` off."""
        running = self._scopes.setdefault(principal, set())
        with anyio.CancelScope() as scope:
            running.add(scope)
            try:
                yield scope
            finally:
                running.discard(scope)
                if not running:
                    self._scopes.pop(principal, None)

    def cut(self, denies: Denies) -> None:
        """Ends what runs for those who are shut off now: also streams that would go on for hours."""
        for principal, scopes in list(self._scopes.items()):
            if denies.tunnel or denies.shut(principal):
                for scope in list(scopes):
                    scope.cancel()
