"""The grants on the page at `/`: the facts, and the form that ends one.

The proof in a form is a keyed digest of who looks at the page, which grant it is for, and the hour: nobody
else can make one, it fits no other grant, and it is used up with the grant that it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hmac import compare_digest
from typing import Protocol
from urllib.parse import urlsplit

from app.doors.http import App, Receive, Scope, Send
from app.errors import AppError
from app.oauth import events
from app.oauth.authority import Authority
from app.oauth.consent import check_origin
from app.oauth.errors import PageError
from app.oauth.forms import BadForm
from app.oauth.models import Client, Grant
from app.oauth.recording import for_request
from app.oauth.views import ErrorView, Pages
from app.oauth.wire import Asked, Reply, endpoint
from app.pages.grants import Grants, GrantText
from app.policy.decide import effective_scopes
from app.policy.rules import ADMIN, Policy
from app.principal import Principal

PROOF_SECONDS = 3600  # a page is good for one to two of these
_START_AGAIN = "This page is too old, or not yours. Open it again and revoke there."


class GrantStore(Protocol):
    """What of OAuthStore is needed here."""

    async def grants(self, now: float, principal_id: str | None = None) -> tuple[Grant, ...]: ...
    async def find_grant(self, grant_id: str) -> Grant | None: ...
    async def find_client(self, client_id: str) -> Client | None: ...
    async def revoke_grant(self, grant_id: str, now: float) -> bool: ...


class GrantsPage:
    """`seal`: a digest with a key that is not in the database, the same in every process."""

    def __init__(
        self, authority: Authority, pages: Pages, now: Callable[[], float], *, seal: Callable[[str], str]
    ) -> None:
        self._authority, self._pages, self._now, self._seal = authority, pages, now, seal

    async def facts(self, who: Principal) -> Grants | None:
        """None: nothing of this is theirs to see. A client that acts for a person sees no other clients."""
        own, others = who.kind == "person" and who.client is None, self._operates(who)
        if not own and not others:
            return None
        store: GrantStore = self._authority.store
        try:
            found = await store.grants(self._now(), None if others else who.id)
            clients = {one: await store.find_client(one) for one in {grant.client_id for grant in found}}
        except AppError:
            return Grants(None, None, readable=False)
        mine = [grant for grant in found if own and grant.principal_id == who.id]
        rest = [grant for grant in found if grant not in mine]
        return Grants(
            self._texts(who, mine, clients) if own else None,
            self._texts(who, rest, clients) if others else None,
        )

    def app(self, page: App) -> App:
        """`page`, which also takes the form."""
        taking = endpoint({"POST": self._revoke}, self._error)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await (taking if scope["method"] == "POST" else page)(scope, receive, send)

        return serve

    async def _revoke(self, asked: Asked) -> Reply:
        who, store = asked.user.principal, self._authority.store
        if who.door == "tunnel":  # the LAN door knows its own origins and has checked
            check_origin(asked.header(b"origin"), asked.header(b"sec-fetch-site"), self._authority.issuer)
        try:
            form = await asked.form()
        except BadForm as error:
            raise PageError("invalid_request", str(error)) from None
        grant_id, proof = form.get("grant") or "", form.get("proof") or ""
        if form.repeated() or not self._proves(proof, who, grant_id):
            raise PageError("access_denied", _START_AGAIN, status=403)
        grant = await store.find_grant(grant_id)
        own = grant is not None and grant.principal_id == who.id and who.kind == "person"
        if who.client is not None or not (own or self._operates(who)):
            raise PageError("access_denied", _START_AGAIN, status=403)
        if grant is not None and await store.revoke_grant(grant_id, self._now()):
            report = for_request(self._authority, asked).report
            report(events.revoked(grant.client_id, who.id, f"grant {grant.id} of {grant.principal_id}"))
        # Gone already is as good; 303, so that a reload sends nothing again.
        return Reply(303, {"location": "/#grants", "cache-control": "no-store"})

    def _error(self, asked: Asked, error: AppError) -> Reply:
        view = ErrorView(error.status, error.code, error.public, error.retry_after, asked.trace)
        headers = self._pages.headers((), forms=False) | {"content-type": "text/html; charset=utf-8"}
        return Reply(error.status, headers, self._pages.error(view))

    def _operates(self, who: Principal) -> bool:
        return who.client is None and ADMIN in effective_scopes(self._authority.policy(), who)

    def _texts(
        self, who: Principal, grants: Iterable[Grant], clients: dict[str, Client | None]
    ) -> tuple[GrantText, ...]:
        policy = self._authority.policy()
        return tuple(
            _text(grant, clients[grant.client_id], policy, self._proof(who, grant.id, self._slot()))
            for grant in grants
        )

    def _slot(self) -> int:
        return int(self._now()) // PROOF_SECONDS

    def _proof(self, who: Principal, grant_id: str, slot: int) -> str:
        return self._seal("\n".join(("revoke at /", who.door, who.kind, who.id, grant_id, str(slot))))

    def _proves(self, proof: str, who: Principal, grant_id: str) -> bool:
        slots = (self._slot(), self._slot() - 1)
        return any(
            compare_digest(proof.encode(), self._proof(who, grant_id, slot).encode()) for slot in slots
        )


def _text(grant: Grant, client: Client | None, policy: Policy, proof: str) -> GrantText:
    return GrantText(
        id=grant.id,
        person=grant.principal_id,
        client=client.name if client is not None else grant.client_id,
        vouched=urlsplit(client.id).netloc if client is not None and client.origin == "document" else "",
        redirect_host=grant.redirect_host,
        scopes=tuple((scope, policy.describe(scope)) for scope in sorted(grant.scopes)),
        since=grant.created_at,
        until=grant.expires_at,
        last_used=grant.last_used_at,
        proof=proof,
    )
