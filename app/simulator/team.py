"""A stand-in Cloudflare Access team: who exists, its keys, and the tokens it issues.

Claims and headers are those of Cloudflare's "Application token" page. The clock is an argument.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt

from app.simulator.certs import CertsEndpoint, Endpoint
from app.simulator.keys import Signer, SigningKey, encode

SESSION_SECONDS = 24 * 3600
BEARER_SECONDS = 15 * 60  # Managed OAuth's default for an access token
CUSTOM_CLAIM_BYTES = 1024  # "approximately 1 KB": Access trims from the end above it
NONCE_CHARACTERS = 16


@dataclass(frozen=True)
class Person:
    """Someone whom the team's identity provider knows."""

    email: str
    name: str = ""
    groups: tuple[str, ...] = ()
    subject: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True)
class ServiceToken:
    name: str
    client_id: str = field(default_factory=lambda: f"{secrets.token_hex(16)}.access")
    client_secret: str = field(default_factory=lambda: f"cfast_{secrets.token_hex(24)}", repr=False)
    id: str = ""
    """What a policy names it by, where the team has policies."""


class Team:
    """`people` and `service_tokens` are the policy of its one application: who is not in them stays out.

    `groups_claim`: the identity provider's groups are configured as a custom claim, so tokens carry them.
    """

    def __init__(
        self,
        name: str = "demo",
        *,
        now: Callable[[], float],
        people: Iterable[Person] = (),
        service_tokens: Iterable[ServiceToken] = (),
        aud: str = "",
        keys: tuple[SigningKey, SigningKey] | None = None,
        country: str = "US",
        groups_claim: bool = False,
    ) -> None:
        self.domain = f"{name}.cloudflareaccess.com"
        self.issuer = f"https://{self.domain}"
        self.aud = aud or secrets.token_hex(32)
        self.now = now
        self.country = country
        self.groups_claim = groups_claim
        self.people = {person.email: person for person in people}
        self.service_tokens: Mapping[str, ServiceToken] = {token.client_id: token for token in service_tokens}
        self.current, self.previous = keys or (SigningKey.generate(), SigningKey.generate())
        self.certs = CertsEndpoint(self.key_set)
        self.identities = Endpoint()
        self._revoked: set[str] = set()
        self._nonces: dict[str, list[str]] = {}
        self._logins: dict[str, tuple[str, str, str]] = {}
        self._managed_oauth: dict[str, tuple[str, str, float]] = {}
        self._sessions: dict[tuple[str, str, str], tuple[float, str]] = {}

    # Keys

    def key_set(self) -> dict[str, Any]:
        """The certs document. `public_cert` is the outdated key, as Cloudflare warns that it may be."""
        current, previous = (
            key.certificate(self.domain, self.now()) for key in (self.current, self.previous)
        )
        return {
            "keys": [self.current.jwk(), self.previous.jwk()],
            "public_cert": previous,
            "public_certs": [current, previous],
        }

    def rotate_keys(self, new: SigningKey | None = None) -> None:
        """A new current key; the one before the last is no longer published."""
        self.current, self.previous = new or SigningKey.generate(), self.current

    def down(self) -> None:
        """The certs endpoint answers 503 until `up()`."""
        self.certs.unavailable()

    def up(self) -> None:
        self.certs.normal()

    # Tokens

    def token(
        self,
        email: str = "alice@example.com",
        *,
        groups: Sequence[str] | None = None,
        custom: Mapping[str, Any] | None = None,
        key: SigningKey | None = None,
        sign: Signer | None = None,
        headers: Mapping[str, Any] | None = None,
        without_headers: Iterable[str] = (),
        without: Iterable[str] = (),
        **claims: Any,
    ) -> str:
        """An application token of a person, whether or not the team knows them.

        `groups` stands for identity-provider groups configured as a custom claim (None: the person's, where
        `groups_claim` is on). `claims` and `headers` replace or add, `without` and `without_headers` remove;
        `key` signs under its own kid, `sign` replaces the signature alone.
        """
        payload = self._person_claims(email, groups, custom) | claims
        return self._encode(payload, key, sign, headers, without_headers, without)

    def service_token(
        self,
        client_id: str,
        *,
        key: SigningKey | None = None,
        sign: Signer | None = None,
        headers: Mapping[str, Any] | None = None,
        without_headers: Iterable[str] = (),
        without: Iterable[str] = (),
        **claims: Any,
    ) -> str:
        """What Access makes of a service token's id and secret: no e-mail, no `nbf`, empty `sub`."""
        issued = int(self.now())
        payload: dict[str, Any] = {
            "type": "app",
            "aud": [self.aud],
            "exp": issued + SESSION_SECONDS,
            "iss": self.issuer,
            "common_name": client_id,
            "iat": issued,
            "sub": "",
        }
        return self._encode(payload | claims, key, sign, headers, without_headers, without)

    def org_token(self, email: str = "alice@example.com", **claims: Any) -> str:
        """A global session token: right issuer and signature, and never good at an application."""
        return self.token(email, **{"type": "org", **claims})

    def managed_oauth_token(self, email: str, aud: str = "") -> str:
        """An opaque bearer as Managed OAuth issues it; only the edge can read it."""
        bearer = f"oauth:{secrets.token_urlsafe(32)}"
        self._managed_oauth[bearer] = email, aud or self.aud, self.now() + BEARER_SECONDS
        return bearer

    # What the edge asks

    def person_of(self, token: str, *auds: str) -> Person | None:
        """Whose application token this is, or None: forged, expired, revoked, or of someone unknown.

        `auds` are the tags it may be for, here and below; none: the team's own.
        """
        claims = self.verified(token, *auds)
        if claims is None or claims.get("type") != "app" or claims.get("identity_nonce") in self._revoked:
            return None
        return self.people.get(claims.get("email", ""))

    def person_of_bearer(self, bearer: str, aud: str = "") -> Person | None:
        email, good_at, end = self._managed_oauth.get(bearer, ("", "", 0.0))
        return self.people.get(email) if good_at == (aud or self.aud) and self.now() < end else None

    def end_bearer(self, bearer: str) -> None:
        self._managed_oauth.pop(bearer, None)

    def service_of(self, client_id: str, client_secret: str) -> ServiceToken | None:
        known = self.service_tokens.get(client_id)
        matches = known is not None and secrets.compare_digest(known.client_secret, client_secret)
        return known if matches else None

    def verified(self, token: str, *auds: str) -> dict[str, Any] | None:
        """The claims of a token that this team signed with a published key and that is valid now."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = next(key for key in (self.current, self.previous) if key.kid == kid)
            claims: dict[str, Any] = jwt.decode(
                token,
                key.private.public_key(),
                algorithms=["RS256"],
                audience=auds or self.aud,
                issuer=self.issuer,
                # PyJWT would ask the system's clock.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, StopIteration):
            return None
        return claims if claims.get("nbf", 0) <= self.now() < claims.get("exp", 0) else None

    def session(self, owner: str, issue: Callable[..., str], aud: str = "") -> str:
        """One token for many requests of `owner`, renewed at half its life and after a rotation."""
        aud = aud or self.aud
        slot = (owner, aud, self.current.kid)
        renew_at, token = self._sessions.get(slot, (0.0, ""))
        if self.now() >= renew_at:
            renew_at, token = self.now() + SESSION_SECONDS / 2, issue(owner, aud=[aud])
            self._sessions[slot] = renew_at, token
        return token

    # Sessions

    def revoke(self, email: str) -> None:
        """Log a person out everywhere: the edge refuses the tokens issued so far. Signatures stay good."""
        self._revoked.update(self._nonces.pop(email, []))
        self._sessions = {slot: kept for slot, kept in self._sessions.items() if slot[0] != email}
        self._managed_oauth = {
            bearer: issued for bearer, issued in self._managed_oauth.items() if issued[0] != email
        }

    def begin_login(self, email: str, redirect_path: str, aud: str = "") -> str:
        """A single-use nonce that carries a login from the team's domain to the application's."""
        nonce = secrets.token_urlsafe(24)
        self._logins[nonce] = (email, redirect_path, aud or self.aud)
        return nonce

    def finish_login(self, nonce: str) -> tuple[str, str, str] | None:
        """The e-mail, the path and the AUD tag of that login, once."""
        return self._logins.pop(nonce, None)

    def _person_claims(
        self, email: str, groups: Sequence[str] | None, custom: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        person = self.people.get(email)
        if groups is None:
            groups = person.groups if person and self.groups_claim else ()
        issued = int(self.now())
        nonce = secrets.token_urlsafe(NONCE_CHARACTERS)[:NONCE_CHARACTERS]
        self._nonces.setdefault(email, []).append(nonce)
        payload: dict[str, Any] = {
            "aud": [self.aud],
            "email": email,
            "exp": issued + SESSION_SECONDS,
            "iat": issued,
            "nbf": issued,
            "iss": self.issuer,
            "type": "app",
            "identity_nonce": nonce,
            "sub": person.subject if person else str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{email}")),
            "country": self.country,
        }
        wanted = {**(custom or {}), **({"groups": list(groups)} if groups else {})}
        return payload | ({"custom": trimmed(wanted)} if wanted else {})

    def _encode(
        self,
        payload: dict[str, Any],
        key: SigningKey | None,
        sign: Signer | None,
        headers: Mapping[str, Any] | None,
        without_headers: Iterable[str],
        without: Iterable[str],
    ) -> str:
        key = key or self.current
        header = {"alg": "RS256", "kid": key.kid, "typ": "JWT", **(headers or {})}
        kept_header = {name: header[name] for name in header if name not in set(without_headers)}
        kept_payload = {name: payload[name] for name in payload if name not in set(without)}
        return encode(kept_header, kept_payload, sign or key.sign)


def trimmed(custom: Mapping[str, Any], limit: int = CUSTOM_CLAIM_BYTES) -> dict[str, Any]:
    """The `custom` object as Access shortens it: from the end, silently, so groups may be missing."""
    kept = {name: list(value) if isinstance(value, list | tuple) else value for name, value in custom.items()}
    while kept and len(json.dumps(kept)) > limit:
        last = next(reversed(kept))
        if isinstance(kept[last], list) and len(kept[last]) > 1:
            kept[last].pop()
        else:
            del kept[last]
    return kept
