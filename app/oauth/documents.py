"""Client ID Metadata Documents: which URLs are client ids, and what a document makes of its client. Pure.

draft-ietf-oauth-client-id-metadata-document, §3 (URL) and §4 (document).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from app.oauth import redirects
from app.oauth.errors import PageError
from app.oauth.models import AuthMethod, Client
from app.oauth.registration import DEFAULT_GRANTS, fingerprint
from app.strict import json_object

MAX_URL = 2048
NAME_MAX = 100
PUBLIC_METHODS: tuple[AuthMethod, ...] = ("none", "private_key_jwt")

_URL = re.compile(
    r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::([0-9]{1,5}))?(/[\x21\x24-\x5b\x5d-\x7e]*)"
)
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|\?|$)", re.IGNORECASE)
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SECRETS = ("client_secret", "client_secret_expires_at")


class DocumentRefused(PageError):
    """A client id or its document that cannot be used: for the person, never a redirect. Never remembered."""

    def __init__(
        self, public: str, *, detail: str = "", status: int = 400, retry_after: int | None = None
    ) -> None:
        super().__init__("invalid_client", public, status=status, detail=detail)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Address:
    """A URL that may be fetched, taken apart once; the host is a name in lower case."""

    url: str
    scheme: str
    host: str
    port: int


def address_of(url: str, schemes: Collection[str] = ("https",)) -> Address:
    """§3: https, a name for a host, a path, nothing else that could be read twice. Raises DocumentRefused."""
    match = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if match is None or match[1] not in schemes or _DOTS.search(match[4]) or "//" in match[4]:
        raise DocumentRefused("The program's client_id is not an https address of a document with a path.")
    # Names alone: an address, in whatever notation, would be no proof of anything.
    if _HOST.fullmatch(match[2]) is None:
        raise DocumentRefused("The program's client_id does not name a host on the internet.")
    port = int(match[3]) if match[3] else {"https": 443, "http": 80}[match[1]]
    if not 0 < port < 65536:
        raise DocumentRefused("The program's client_id has no usable port.")
    return Address(url, match[1], match[2], port)


@dataclass(frozen=True, slots=True)
class Hosts:
    """Which hosts may be asked: none that is `denied`; if any are `allowed`, only those."""

    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()

    def admit(self, host: str) -> bool:
        if any(_fits(pattern, host) for pattern in self.denied):
            return False
        return not self.allowed or any(_fits(pattern, host) for pattern in self.allowed)


def _fits(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def client_of(body: bytes, url: str, *, now: float) -> Client:
    """The client that the document at `url` describes. Raises DocumentRefused.

    Members we do not know are ignored; those we do know must be right.
    """
    try:
        document = json_object(body)
    except ValueError as problem:
        raise DocumentRefused("The program's document is not a JSON object.", detail=str(problem)) from None
    if document.get("client_id") != url:  # §4: simple string comparison (RFC 3986 §6.2.1)
        raise DocumentRefused("The program's document is about another client_id.")
    if any(document.get(member) is not None for member in _SECRETS):  # §4.1
        raise DocumentRefused("The program's document has a secret in it.")
    name, uris = _name(document), _redirect_uris(document)
    keys, keys_uri = _keys(document)
    return Client(
        id=url,
        origin="document",
        name=name,
        redirect_uris=uris,
        auth_methods=_methods(document, has_keys=keys is not None or keys_uri is not None),
        grant_types=_grant_types(document),
        created_at=now,
        fingerprint=fingerprint(name, uris, keys, keys_uri),
        uri=_shown_uri(document),
        jwks=keys,
        jwks_uri=keys_uri,
    )


def _name(document: Mapping[str, Any]) -> str:
    name = document.get("client_name")
    cleaned = _CONTROLS.sub("", name).strip()[:NAME_MAX] if isinstance(name, str) else ""
    if not cleaned:
        raise DocumentRefused("The program's document does not say its name.")
    return cleaned


def _redirect_uris(document: Mapping[str, Any]) -> tuple[str, ...]:
    uris = document.get("redirect_uris")
    if not isinstance(uris, list) or not 0 < len(uris) <= redirects.MAX_NUMBER:
        raise DocumentRefused("The program's document does not list its redirect URIs.")
    for uri in uris:
        if wrong := redirects.problem(uri):
            raise DocumentRefused("A redirect URI in the program's document cannot be used.", detail=wrong)
    return tuple(dict.fromkeys(uris))


def _methods(document: Mapping[str, Any], *, has_keys: bool) -> frozenset[AuthMethod]:
    """§4.1: no shared secret. ChatGPT names one method and lists those it can also do."""
    method = document.get("token_endpoint_auth_method")
    listed = document.get("token_endpoint_auth_methods_supported")
    if method is not None and method not in PUBLIC_METHODS:
        raise DocumentRefused("The program's document asks for a shared secret.")
    named = [*([method] if method else []), *(listed if isinstance(listed, list) else [])] or ["none"]
    usable = frozenset(m for m in PUBLIC_METHODS if m in named and (has_keys or m == "none"))
    if not usable:
        raise DocumentRefused("The program's document names no way to authenticate that works here.")
    return usable


def _grant_types(document: Mapping[str, Any]) -> frozenset[str]:
    """RFC 7591 §2; grants that we do not have are left out."""
    wanted = document.get("grant_types")
    if wanted is None or wanted == []:
        return frozenset(DEFAULT_GRANTS)
    if not isinstance(wanted, list) or "authorization_code" not in wanted:
        raise DocumentRefused("The program's document does not ask for authorization codes.")
    return frozenset(grant for grant in DEFAULT_GRANTS if grant in wanted)


def _keys(document: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str | None]:
    keys, uri = document.get("jwks"), document.get("jwks_uri")
    if keys is not None and uri is not None:  # RFC 7591 §2
        raise DocumentRefused("The program's document has both jwks and jwks_uri.")
    if keys is not None and not is_key_set(keys):
        raise DocumentRefused("The keys in the program's document are not public keys.")
    if uri is not None and (not isinstance(uri, str) or len(uri) > MAX_URL):
        raise DocumentRefused("jwks_uri in the program's document is not an address.")
    return keys, uri


def is_key_set(keys: object) -> bool:
    """RFC 7517 §5: a set of public keys, and no other."""
    listed = keys.get("keys") if isinstance(keys, dict) else None
    if not isinstance(listed, list) or not 0 < len(listed) <= 32:
        return False
    return all(isinstance(key, dict) and key.keys().isdisjoint({"d", "k", "p", "q"}) for key in listed)


def _shown_uri(document: Mapping[str, Any]) -> str | None:
    """Shown as text on the consent page; logos are never fetched, by us or by the browser."""
    uri = document.get("client_uri")
    if isinstance(uri, str) and re.fullmatch(r"https://[\x21\x23-\x3b\x3d\x3f-\x5b\x5d-\x7e]{1,1900}", uri):
        return uri
    return None
