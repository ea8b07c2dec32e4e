"""What every step of the authorization server has at hand, and the ceiling that each of them asks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.audit.events import Report
from app.oauth.minting import Minting, client_subject
from app.oauth.models import Client, Grant, OAuthStore, Revocations
from app.oauth.resource import resource_of
from app.oauth.scopes import Challenge
from app.policy.decide import ceiling
from app.policy.denies import Denies, DoorClosed
from app.policy.rules import Policy
from app.principal import Principal

# The client of a metadata document, fetched or cached; raises PageError where it cannot be had.
Documents = Callable[[str], Awaitable[Client]]
# The JSON Web Key Set of a client that has its keys elsewhere; raises AppError where it cannot be had.
ClientKeys = Callable[[Client], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Authority:
    """The parts. `random` gives a new value of 256 bits, of the alphabet of base64url.

    `successor` turns a refresh token into the next one with a key that is not in the database: whoever
    asks twice gets the same, and nobody can compute it who only has the old one.
    """

    issuer: str
    store: OAuthStore
    policy: Callable[[], Policy]
    denies: Callable[[], Denies]
    minting: Minting
    revocations: Revocations
    random: Callable[[], str]
    successor: Callable[[str], str]
    report: Report
    challenge: Challenge = "minimal"
    documents: Documents | None = None
    client_keys: ClientKeys | None = None

    @property
    def resource(self) -> str:
        return resource_of(self.issuer)

    def ceiling(self, who: Principal) -> frozenset[str]:
        """All that the policy grants `who` now; nothing where the kill switch has shut them off.

        Raises DoorClosed: then nobody's grant is over, only put off.
        """
        denies = self.denies()
        if denies.tunnel:
            raise DoorClosed
        if denies.shut(who):
            return frozenset()
        return ceiling(self.policy(), who).scopes


def person_of(grant: Grant) -> Principal:
    """The person of a grant, as the policy names them."""
    return Principal(
        kind="person",
        id=grant.principal_id,
        door="tunnel",
        email=grant.principal_id,
        subject=grant.subject,
        groups=grant.groups,
        groups_complete=False,
        client=grant.client_id,
    )


def machine_of(client: Client) -> Principal:
    """A client that acts for itself; rules name it under `service_tokens`."""
    return Principal(kind="service", id=client_subject(client.id), door="tunnel", client=client.id)
