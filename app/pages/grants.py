"""Facts of the page at `/`: which clients may act for somebody, since when, and a way to end that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class GrantText:
    """One consent. Times in seconds. `vouched`: the host whose document names the client, if one does.

    `proof` goes with the button that ends it, and is never in the JSON.
    """

    id: str
    person: str
    client: str
    vouched: str
    redirect_host: str
    scopes: tuple[tuple[str, str], ...]
    since: float
    until: float
    last_used: float | None
    proof: str


@dataclass(frozen=True, slots=True)
class Grants:
    """`own` is None for whoever is no person, `others` for whoever is no operator. Empty where none are.

    `readable` False: the database does not answer.
    """

    own: tuple[GrantText, ...] | None
    others: tuple[GrantText, ...] | None
    readable: bool = True

    @property
    def forms(self) -> bool:
        return bool(self.own or self.others)


def as_json(grants: Grants) -> dict[str, Any]:
    if not grants.readable:
        return {"grants": None}
    facts: dict[str, Any] = {}
    if grants.own is not None:
        facts["grants"] = [_one(grant) for grant in grants.own]
    if grants.others is not None:
        facts["grants_of_others"] = [_one(grant) | {"principal": grant.person} for grant in grants.others]
    return facts


def _one(grant: GrantText) -> dict[str, Any]:
    return {
        "id": grant.id,
        "client": grant.client,
        "redirect_host": grant.redirect_host,
        "scopes": [scope for scope, _ in grant.scopes],
        "since": _iso(grant.since),
        "until": _iso(grant.until),
        "last_used": None if grant.last_used is None else _iso(grant.last_used),
    }


def _iso(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
