"""How often: requests of one principal, and refusals of one address before anybody is known.

An address limits, it never identifies: at the tunnel door it is what a header says.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from app.audit.events import Event, Report
from app.doors.http import App, LetIn, Receive, Scope, Send, Visit, refuse, shown
from app.errors import AppError
from app.policy.denies import Denied
from app.principal import Principal

MAX_KEYS = 10_000
SHARED = 100  # how many buckets' worth the keys share for which there is no room
LOOKS = 8  # at how many old keys a new one looks for room
CHECKS = 200  # per second: assertions of limited addresses that are verified nevertheless
REPORT_EVERY = 60.0  # seconds between two reports of one limited address or principal
EVERYBODY = "everybody"
TINY = 0.001  # seconds: more than many small steps are off by, added to a time since 1970

_ATTEMPTS = frozenset({400, 401, 403, 421})


class RateLimited(AppError):
    code = "rate_limited"
    status = 429

    def __init__(self, wait: float, detail: str = "") -> None:
        seconds = max(1, math.ceil(wait))
        super().__init__(f"Too many requests. Try again in {seconds} s.", detail=detail, retry_after=seconds)


class LimitedAgain(RateLimited):
    """Like one that was reported a moment ago: this one is only counted, so that no flood fills the log."""


class Buckets:
    """Token buckets by key: `per_minute` on average, `burst` at once. A full bucket takes no memory.

    Where all `size` places are taken by keys that are not full again, every other key draws on one shared
    bucket: so no flood of keys frees one that is at its limit, and none is without a limit.
    """

    def __init__(self, per_minute: float, burst: float, *, size: int = MAX_KEYS) -> None:
        self._step, self._burst, self._size = 60 / per_minute, burst, size
        # Generic cell rate algorithm: one number for each bucket, the time when it is full again.
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        self._shared_full_at = 0.0

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until `key` may take one; 0.0 if it may now."""
        if key not in self._full_at and not self._has_room(now):
            step, burst = self._step / SHARED, self._burst * SHARED
            self._shared_full_at = min(self._shared_full_at, now + step * burst)
            return _wait(self._shared_full_at, now, step, burst)
        full_at = self._full_at.get(key, now)
        if (
            full_at > now + self._step * self._burst
        ):  # more than an empty bucket needs: the clock was set back
            full_at = self._full_at[key] = now + self._step * self._burst
        return _wait(full_at, now, self._step, self._burst)

    def take(self, key: Hashable, now: float) -> float:
        """Takes one and returns 0.0, or takes none and returns the seconds until one is there."""
        if wait := self.wait(key, now):
            return wait
        if key not in self._full_at and not self._has_room(now):
            self._shared_full_at = max(self._shared_full_at, now) + self._step / SHARED
            return 0.0
        self._full_at[key] = max(self._full_at.get(key, now), now) + self._step
        self._full_at.move_to_end(key)
        return 0.0

    def _has_room(self, now: float) -> bool:
        """Whether one more key fits; forgets a few that are full again, keeps all others."""
        for _ in range(LOOKS):
            if len(self._full_at) < self._size:
                return True
            key, full_at = self._full_at.popitem(last=False)
            if full_at > now:  # to the other end: the next look is at another one
                self._full_at[key] = min(full_at, now + self._step * self._burst)
        return len(self._full_at) < self._size


def _wait(full_at: float, now: float, step: float, burst: float) -> float:
    wait = full_at - now - step * (burst - 1)
    return wait if wait > min(step / 2, TINY) else 0.0


class Attempts:
    """Refusals by address. Over the limit an address gets 429 for what would be refused, at no more cost.

    Whoever is known is never limited by what others do behind the same address (an office, a mobile
    network, a proxy): an assertion that was verified before passes, and one that may be good (its form is
    right, and it names a key of the team) is verified as long as all limited addresses together cost less
    than CHECKS such checks a second. So to keep a new person out takes a flood of well-made forgeries, and
    even then the next try may pass.

    All addresses together have SHARED times the limit of one: who has a million of them fills no log.
    """

    def __init__(
        self,
        per_minute: int,
        now: Callable[[], float],
        *,
        known: Callable[[bytes], bool] = lambda _: False,
        may_be_good: Callable[[bytes], bool] = lambda _: False,
        size: int = MAX_KEYS,
    ) -> None:
        """`per_minute` 0 limits nothing."""
        self._now, self._known, self._may_be_good = now, known, may_be_good
        burst = max(1, per_minute // 2)
        self._refusals = Buckets(per_minute, burst, size=size) if per_minute else None
        self._all = Buckets(max(1, per_minute) * SHARED, burst * SHARED, size=1)
        self._reported = Buckets(60 / REPORT_EVERY, 1, size=size)
        self._checks = Buckets(CHECKS * 60, CHECKS, size=1)

    def let_try(self, address: str, assertion: bytes) -> None:
        """Before the arithmetic. Raises RateLimited."""
        if self._refusals is None:
            return
        now = self._now()
        wait = self._refusals.wait(network_of(address), now) or self._all.wait(EVERYBODY, now)
        if not wait or self._known(assertion):
            return
        if self._may_be_good(assertion) and not self._checks.take(EVERYBODY, now):
            return
        raise RateLimited(wait)

    def counted(self, address: str, refused: AppError) -> AppError:
        """The refusal that is to be answered: `refused`, or one that says how long to wait."""
        if self._refusals is None:
            return refused
        network, now = network_of(address), self._now()
        if not isinstance(refused, RateLimited):
            if refused.status not in _ATTEMPTS or isinstance(refused, Denied):
                return refused
            wait = self._refusals.wait(network, now)
            if not wait and (wait := self._all.wait(EVERYBODY, now)):
                network = EVERYBODY
            if not wait:
                self._refusals.take(network, now)
                self._all.take(EVERYBODY, now)
                return refused
            refused = RateLimited(wait)
        kind = LimitedAgain if self._reported.take(network, now) else RateLimited
        return kind(refused.retry_after or 1, f"refusals of {network or 'no known address'}")


class Limited:
    """ASGI, behind a door: at most so many requests of one principal, except for the paths in `free`.

    The LAN is one principal for everybody on it, and where nobody has to be known there is none: so there
    each address has its own limit.
    """

    def __init__(
        self,
        app: App,
        rate: Buckets,
        now: Callable[[], float],
        *,
        report: Report,
        count: Report,
        free: Collection[bytes] = (),
    ) -> None:
        self._app, self._rate, self._now, self._free = app, rate, now, free
        self._report, self._count = report, count
        self._reported = Buckets(60 / REPORT_EVERY, 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key, now = _whose(scope), self._now()
        if scope["raw_path"] in self._free or not (wait := self._rate.take(key, now)):
            await self._app(scope, receive, send)
            return
        limited = RateLimited(wait)
        tell = self._count if self._reported.take(key, now) else self._report
        tell(_event(scope, limited))
        await refuse(send, limited, head=scope["method"] == "HEAD")


def limited(
    app: App,
    per_minute: int,
    now: Callable[[], float],
    *,
    report: Report,
    count: Report,
    free: Collection[bytes] = (),
) -> App:
    """`app` with a limit for each principal; 0 limits nothing."""
    if not per_minute:
        return app
    rate = Buckets(per_minute, max(1, per_minute // 10))
    return Limited(app, rate, now, report=report, count=count, free=frozenset(free))


def peer(scope: Scope) -> str:
    """Who is at the other end of the connection, as text; empty where nobody can say."""
    client = scope.get("client")
    return client[0] if client else ""


def one_address(values: Collection[bytes]) -> str:
    """The address that a header tells; empty, like everything malformed, unless there is just one."""
    return next(iter(values)).decode("latin-1") if len(values) == 1 else ""


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What one subscriber has: an IPv4 address, or an IPv6 /64. Empty for anything else."""
    if len(address) > 64:
        return ""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


def _whose(scope: Scope) -> tuple[str, str, str]:
    """The key of the limit that a request counts for."""
    if "user" not in scope:
        return "", "", network_of(scope["visit"].address)
    who: Principal = scope["user"].principal
    return who.kind, who.id, network_of(peer(scope)) if who.kind == "lan" else ""


def _event(scope: Scope, limited: RateLimited) -> Event:
    user: LetIn | None = scope.get("user")
    seen: LetIn | Visit = user or scope["visit"]
    return Event(
        door=user.principal.door if user else "tunnel",
        operation="door",
        name=shown(scope),
        decision="refuse",
        request_id=seen.request_id,
        cf_ray=seen.cf_ray,
        principal=user.principal.id if user else "",
        kind=user.principal.kind if user else "",
        reason=limited.code,
        status=limited.status,
    )
