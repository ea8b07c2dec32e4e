"""How often the authorization server may be asked, and by whom it is counted."""

from __future__ import annotations

from collections.abc import Callable

from app.doors.rates import Buckets, LimitedAgain, RateLimited
from app.errors import AppError

# A minute on average, and at once.
REGISTRATIONS = (20, 20)  # of one network
QUESTIONS = (60, 30)  # of one person
FAILURES = (20, 20)  # of one client from one network: guesses at secrets and codes
FAILURES_OF_NETWORK = (300, 150)

_FAILED = frozenset({"invalid_client", "invalid_grant"})


class Limits:
    """At the token endpoint only failures count: a client that does well is held up by nobody else's."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._registrations, self._questions = Buckets(*REGISTRATIONS), Buckets(*QUESTIONS)
        self._failures, self._networks = Buckets(*FAILURES), Buckets(*FAILURES_OF_NETWORK)
        self._reported = Buckets(1, 1)

    def register(self, network: str) -> None:
        """Raises RateLimited."""
        self._limit(self._registrations.take(network, self._now()), ("register", network))

    def ask(self, person: str) -> None:
        """Raises RateLimited."""
        self._limit(self._questions.take(person, self._now()), ("ask", person))

    def let_try(self, network: str, client_id: str) -> None:
        """Before a client's credentials are looked at. Raises RateLimited."""
        now = self._now()
        wait = max(self._failures.wait((network, client_id), now), self._networks.wait(network, now))
        self._limit(wait, ("try", network, client_id))

    def failed(self, network: str, client_id: str, error: AppError) -> None:
        if error.code in _FAILED:
            self._failures.take((network, client_id), self._now())
            self._networks.take(network, self._now())

    def _limit(self, wait: float, key: tuple[str, ...]) -> None:
        if wait:
            kind = LimitedAgain if self._reported.take(key, self._now()) else RateLimited
            raise kind(wait)
