"""The tunnel door put together: who may come in by it, and with the inner OAuth server, by which paths."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import httpx2

from app.access.claims import Identity, issuer_of
from app.access.identity import WholeIdentity, identity_url
from app.access.jwks import KeySet
from app.access.verifier import Verifier
from app.audit.events import sign_in_event
from app.doors.credentials import Verify
from app.doors.http import App
from app.doors.paths import Paths
from app.doors.rates import Attempts, limited
from app.doors.tunnel import TunnelDoor, asking
from app.house import Shared
from app.settings import Settings

if TYPE_CHECKING:
    from app.authorization import Inner
    from app.oauth.bearer import Bearer


@contextlib.asynccontextmanager
async def tunnel_door(
    settings: Settings, paths: Mapping[str, App], parts: Shared, inner: Inner | None
) -> AsyncIterator[tuple[TunnelDoor, KeySet]]:
    """The door in front of `paths`, and the team's keys. `inner`: with the inner OAuth server."""
    async with contextlib.AsyncExitStack() as stack:
        now = parts.now
        web = await stack.enter_async_context(httpx2.AsyncClient(follow_redirects=False))
        keys = KeySet(settings.access_certs_url, web, now, settings.data_dir / "access-certs.json")
        verify = Verifier(
            keys,
            issuer=issuer_of(settings.access_team),
            audiences=settings.access_aud,
            now=now,
            first_sight=lambda identity: parts.report(sign_in_event(identity.principal, *asking.get())),
        )
        identify: Verify = verify
        if settings.access_get_identity:
            # A client of its own: slow look-ups must not hold up the certs.
            asks = await stack.enter_async_context(httpx2.AsyncClient(follow_redirects=False))
            wanted = lambda: parts.policy.current().names_groups  # noqa: E731
            whole = WholeIdentity(identity_url(settings.access_certs_url), asks, now, wanted=wanted)
            stack.push_async_callback(whole.close)
            identify = completed(verify, whole)
        credentials: list[Verifier | Bearer] = [verify]
        if inner is not None:
            credentials.append(inner.bearer)
        attempts = Attempts(
            settings.rate_limit_attempts,
            now,
            known=lambda credential: any(one.knows(credential) for one in credentials),
            may_be_good=lambda credential: any(one.may_be_good(credential) for one in credentials),
        )
        served = Paths({**paths, **(inner.paths if inner else {})})
        door = TunnelDoor(
            limited(served, settings.rate_limit, now, report=parts.report, count=parts.count),
            base_url=settings.base_url,
            verify=identify,
            denies=parts.kill_switch.current,
            attempts=attempts,
            new_id=lambda: secrets.token_hex(8),
            report=parts.report,
            count=parts.count,
            ways=inner.ways(identify, attempts) if inner else None,
        )
        yield door, keys


def completed(verify: Verifier, whole: WholeIdentity) -> Verify:
    """From an assertion to the Identity that it proves, with all groups where they can be known."""

    async def identify(assertion: bytes) -> Identity:
        return await whole(assertion, await verify(assertion))

    return identify
