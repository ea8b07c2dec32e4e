"""What an upstream with `tell_caller = true` is told of whoever calls: a JWT of ours, good for a minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.principal import Principal
from app.upstreams.entries import Entry

TYPE = "brain-principal+jwt"  # RFC 8725 §3.11: nobody takes it for an access token
GOOD_FOR = 60  # seconds
AGAIN_AFTER = 30  # one signature serves the calls of half a minute
REMEMBERED = 1000

Sign = Callable[[Mapping[str, Any], str, float], str]


class Teller:
    """Asked for each call. The audience is the upstream's name, so it is of no use to another one."""

    def __init__(
        self, sign: Sign, issuer: str, who: Callable[[], Principal], now: Callable[[], float]
    ) -> None:
        self._sign, self._issuer, self._who, self._now = sign, issuer, who, now
        self._told: dict[tuple[str, Principal], tuple[float, str]] = {}

    def __call__(self, entry: Entry) -> str | None:
        if not entry.tell_caller:
            return None
        key, now = (entry.name, self._who()), self._now()
        at, token = self._told.get(key, (0.0, ""))
        if not token or not 0 <= now - at < AGAIN_AFTER:
            token = self._sign(claims(key[1], self._issuer, entry.name, now), TYPE, now)
            if len(self._told) >= REMEMBERED:
                self._told.clear()
            self._told[key] = (now, token)
        return token


def claims(principal: Principal, issuer: str, upstream: str, now: float) -> dict[str, Any]:
    """RFC 7519 §4.1, and the parts of the Principal that say who it is. No groups, no scopes, no token."""
    issued_at = int(now)
    told = {
        "iss": issuer,
        "aud": upstream,
        "sub": principal.id,
        "iat": issued_at,
        "exp": issued_at + GOOD_FOR,
        "kind": principal.kind,
        "door": principal.door,
        "email": principal.email,
        "client": principal.client,
    }
    return {name: value for name, value in told.items() if value is not None}
