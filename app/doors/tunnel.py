"""The tunnel door: never open. Every request proves who it is, on every path and with every method.

With the inner OAuth server some paths have a way in of their own (app/doors/credentials.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from urllib.parse import urlsplit

from app.access.claims import AssertionRefused, ascii_lower
from app.audit.events import Event, Report
from app.doors.credentials import Asserted, ByName, Verify, Way
from app.doors.http import (
    SECRETS,
    App,
    BadOrigin,
    BadRequest,
    Host,
    LetIn,
    Message,
    Receive,
    Scope,
    Send,
    Visit,
    WrongHost,
    access_token,
    check_length,
    check_path,
    let_anybody_in,
    let_in,
    read_host,
    read_origin,
    shown,
)
from app.doors.inside import Inside
from app.doors.rates import Attempts, LimitedAgain, one_address
from app.errors import AppError
from app.oauth.minting import TokenRefused
from app.policy.denies import Denied, Denies, DoorClosed
from app.principal import Principal

ADDRESS = b"cf-connecting-ip"
EMAIL = b"cf-access-authenticated-user-email"

# Request id and cf-ray of the request whose assertion is verified now: a sign-in is of this request.
asking: ContextVar[tuple[str, str]] = ContextVar("asking", default=("", ""))


class TunnelDoor:
    """ASGI. `base_url` names the one host; `verify` turns an assertion into an Identity or raises.

    `denies` is the kill switch as it stands; `cut` is to be called when it changes. `ways`: paths that
    take another credential than the assertion; these very paths, as they are sent.
    """

    def __init__(
        self,
        app: App,
        *,
        base_url: str,
        verify: Verify,
        denies: Callable[[], Denies],
        attempts: Attempts,
        new_id: Callable[[], str],
        report: Report,
        count: Report,
        ways: Mapping[str, Way] | None = None,
    ) -> None:
        self._access = Way(Asserted(verify, attempts))
        self._ways = {path.encode(): way for path, way in (ways or {}).items()}
        self._denies, self._inside = denies, Inside()
        self.cut = self._inside.cut
        url = urlsplit(base_url)
        default_port = 443 if url.scheme == "https" else 80
        self._host = Host((url.hostname or "").lower(), url.port or default_port)
        self._scheme, self._default_port = url.scheme, default_port
        self._app, self._new_id = app, new_id
        self._attempts, self._report, self._count = attempts, report, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = self._new_id()
        way = self._ways.get(scope["raw_path"], self._access)
        by_name: dict[bytes, list[bytes]] = {}
        kept: list[tuple[bytes, bytes]] = []
        for name, value in scope["headers"]:
            trimmed = value.strip(b" \t")
            by_name.setdefault(name, []).append(trimmed)
            if name in way.keeps or (name not in SECRETS and not name.startswith(b"cf-access-")):
                kept.append((name, trimmed))
        ray = by_name.get(b"cf-ray", [b""])[0].decode("latin-1")[:64]
        address = one_address(by_name.get(ADDRESS, []))
        asking.set((request_id, ray))
        try:
            self._check(scope, by_name, way)
            principal = await self._known(way, by_name, address)
        except AppError as error:
            refused = self._attempts.counted(address, error)
            tell = self._count if isinstance(refused, LimitedAgain) else self._report
            tell(_refusal(scope, request_id, ray, refused))
            await way.refuse(send, refused, request_id, head=scope["method"] == "HEAD")
            return
        if principal is None:
            visit = Visit(request_id, ray, address)
            await let_anybody_in(self._app, scope, receive, send, visit, kept)
            return
        self._check_told_email(by_name.get(EMAIL, []), principal, request_id, ray)
        user = LetIn(principal, access_token(principal), request_id, ray)
        answering = False

        async def answer(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        with self._inside.entered(principal) as inside:
            await let_in(self._app, scope, receive, answer, user, kept)
        if inside.cancelled_caught:
            cut = self._shut_off(principal) or Denied(principal)
            self._report(_refusal(scope, request_id, ray, cut))
            if not answering:
                await way.refuse(send, cut, request_id, head=False)

    async def _known(self, way: Way, by_name: ByName, address: str) -> Principal | None:
        """Who is there; None where nobody has to be. Raises the refusal: nobody, or somebody shut off."""
        if self._denies().tunnel:
            raise DoorClosed
        principal = await way.known(by_name, address)
        if principal is not None and (shut := self._shut_off(principal)) is not None:
            raise shut
        return principal

    def _check_told_email(self, values: list[bytes], principal: Principal, request_id: str, ray: str) -> None:
        """The unsigned header never counts; that it names somebody else is worth a look, and on record."""
        told = {ascii_lower(value.decode("latin-1")) for value in values}
        if told - {principal.email}:
            self._report(
                Event(
                    door="tunnel",
                    operation="identity/mismatch",
                    name=principal.id,
                    decision="allow",
                    request_id=request_id,
                    cf_ray=ray,
                    principal=principal.id,
                    kind=principal.kind,
                    reason="the unsigned e-mail header names somebody else",
                )
            )

    def _shut_off(self, principal: Principal) -> AppError | None:
        denies = self._denies()
        if denies.tunnel:
            return DoorClosed()
        return Denied(principal) if denies.shut(principal) else None

    def _check(self, scope: Scope, by_name: dict[bytes, list[bytes]], way: Way) -> None:
        check_path(scope)
        if not self._is_ours(read_host(by_name.get(b"host", []))):
            raise WrongHost("This server is reached by its public name only (BASE_URL).")
        origin = None if way.any_origin else read_origin(by_name.get(b"origin", []))
        if origin is not None and (origin[0] != self._scheme or not self._is_ours(origin[1])):
            raise BadOrigin("Requests from this web origin are not accepted.")
        _check_connection(by_name.get(b"connection", []))
        check_length(next(iter(by_name.get(b"content-length", [])), None))

    def _is_ours(self, host: Host) -> bool:
        port = self._default_port if host.port is None else host.port
        return host.name == self._host.name and port == self._host.port


def _check_connection(values: list[bytes]) -> None:
    """RFC 9110 §7.6.1: a header named here is dropped by the next hop, and with it a credential."""
    for value in values:
        for option in value.lower().split(b","):
            if option.strip().startswith((b"cf-", b"authorization", b"host")):
                raise BadRequest("The Connection header names a header that must not be dropped.")


def _refusal(scope: Scope, request_id: str, ray: str, refused: AppError) -> Event:
    reason = refused.reason if isinstance(refused, AssertionRefused | TokenRefused) else refused.code
    known = refused.principal if isinstance(refused, Denied) else None
    return Event(
        door="tunnel",
        operation="door",
        name=shown(scope),
        decision="refuse",
        request_id=request_id,
        cf_ray=ray,
        principal=known.id if known else "",
        kind=known.kind if known else "",
        reason=f"{reason} {refused.detail}".strip(),
        status=refused.status,
    )
