"""The inner authorization server put together: its parts, its paths, and the ways in at the tunnel door."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from app.audit.events import sign_in_event
from app.doors.credentials import (
    AUTHORIZATION,
    COOKIE,
    Asserted,
    BearerOrAsserted,
    Verify,
    Way,
    anybody,
    as_page,
)
from app.doors.http import App
from app.doors.rates import Attempts
from app.doors.tunnel import asking
from app.errors import AppError
from app.house import Shared
from app.oauth.authority import Authority
from app.oauth.bearer import Bearer, Challenges, NoToken, token_in
from app.oauth.cimd import DocumentClients
from app.oauth.documents import Hosts
from app.oauth.endpoints import routes
from app.oauth.grants_page import GrantsPage
from app.oauth.guarded import Fetcher
from app.oauth.keys import SigningKeys
from app.oauth.metadata import RESOURCE_PATH
from app.oauth.opened import Listed
from app.oauth.resource import resource_of
from app.oauth.scopes import default_scopes
from app.pages.consent import HtmlPages
from app.policy.file import PolicyFile
from app.settings import Settings
from app.store.audit import sealing_key
from app.store.grants import SqlOAuth
from app.store.revocations import SqlRevocations

log = logging.getLogger("brain")

COLLECT_EVERY = 3600.0
PUBLIC = frozenset({AUTHORIZATION, COOKIE})
SEEN = frozenset({COOKIE})


@dataclass(frozen=True, slots=True)
class Inner:
    """`paths` to add to the tunnel door's, `ways` in to them and to /mcp; `grants` for the page at `/`."""

    paths: Mapping[str, App]
    ways: Callable[[Verify, Attempts], Mapping[str, Way]]
    bearer: Bearer
    grants: GrantsPage


def challenges(settings: Settings, policy: PolicyFile) -> Challenges:
    """What a refusal at /mcp tells a client to do."""
    url = settings.base_url + RESOURCE_PATH + "/mcp"
    return Challenges(url, lambda: default_scopes(policy.current(), settings.oauth_challenge))


@contextlib.asynccontextmanager
async def inner_server(
    settings: Settings, parts: Shared, refusals: Challenges, tools: Listed
) -> AsyncIterator[Inner]:
    """`tools`: what the consent page says that scopes open. Raises KeysUnusable: no keys, no server."""
    pages, secret = HtmlPages(), sealing_key(settings.data_dir / "oauth-keys" / "refresh.key")
    store = SqlOAuth(parts.database)
    revocations = SqlRevocations(parts.database.path, parts.now)
    keys = SigningKeys(
        settings.data_dir,
        algorithm=settings.oauth_signing_alg,
        issuer=settings.base_url,
        resource=resource_of(settings.base_url),
        now=parts.now,
        new_id=new_secret,
    )
    hosts = Hosts(settings.oauth_allowed_hosts, settings.oauth_denied_hosts)
    documents = DocumentClients(Fetcher(hosts=hosts), store.put_document_client, now=parts.now)
    authority = Authority(
        issuer=settings.base_url,
        store=store,
        policy=parts.policy.current,
        denies=parts.kill_switch.current,
        minting=keys,
        revocations=revocations,
        random=new_secret,
        successor=sealed(secret, "refresh"),
        report=parts.report,
        challenge=settings.oauth_challenge,
        documents=documents,
        client_keys=documents.keys,
    )
    bearer = Bearer(
        keys,
        store.find_grant,
        revocations,
        now=parts.now,
        first_sight=lambda who: parts.report(sign_in_event(who, *asking.get())),
    )
    served = routes(
        authority,
        keys=keys.jwks,
        pages=pages,
        tools=tools,
        now=parts.now,
        count=parts.count,
        login_origin=f"https://{settings.access_team}.cloudflareaccess.com",
    )

    def ways(verify: Verify, attempts: Attempts) -> Mapping[str, Way]:
        asserted = Asserted(verify, attempts)
        mcp = Way(BearerOrAsserted(bearer, token_in, asserted, attempts, refusals, NoToken))
        return {
            **{path: Way(anybody, keeps=PUBLIC, any_origin=True) for path in served.public},
            **{path: Way(asserted, keeps=SEEN, refuse=as_page) for path in served.signed_in},
            "/": Way(asserted, keeps=SEEN),
            "/mcp": mcp,
            "/mcp/": mcp,
        }

    async with _collecting(store, parts.now):
        try:
            grants = GrantsPage(authority, pages, parts.now, seal=sealed(secret, "revoke"))
            yield Inner({**served.public, **served.signed_in}, ways, bearer, grants)
        finally:
            revocations.close()
            await documents.close()


def new_secret() -> str:
    """256 bits, of the alphabet of base64url."""
    return secrets.token_urlsafe(32)


def sealed(key: bytes, purpose: str) -> Callable[[str], str]:
    """A digest of a text that nobody can compute without `key`, and that is of no use for another purpose."""
    own = hmac.new(key, purpose.encode(), sha256).digest()
    return lambda text: hmac.new(own, text.encode(), sha256).hexdigest()


@contextlib.asynccontextmanager
async def _collecting(store: SqlOAuth, now: Callable[[], float]) -> AsyncIterator[None]:
    """Removes what is over, at the start and every hour."""
    leaving = asyncio.Event()

    async def watch() -> None:
        while not leaving.is_set():
            try:
                await store.collect_garbage(now())
            except AppError as problem:
                log.error("what is over could not be removed: %s", problem.public)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(leaving.wait(), COLLECT_EVERY)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        leaving.set()
        await watching
