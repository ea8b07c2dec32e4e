"""Dynamic client registration (RFC 7591): from a client's own words to a Client, and the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast, get_args

from app.oauth import redirects
from app.oauth.errors import RegistrationError
from app.oauth.models import AuthMethod, Client, fingerprint_of

NAME_MAX = 100
URI_MAX = 2048
KEYS_MAX = 16 * 1024
DEFAULT_GRANTS = ("authorization_code", "refresh_token")
CONFIDENTIAL = frozenset({"client_secret_basic", "client_secret_post"})

_METADATA: Final = "invalid_client_metadata"
_URIS = ("client_uri", "logo_uri", "tos_uri", "policy_uri")
_METHODS = get_args(AuthMethod)
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def register(
    body: Mapping[str, Any], *, scopes: Sequence[str], random: Callable[[], str], now: float
) -> tuple[Client, dict[str, Any]]:
    """The new client, and the answer to it (RFC 7591 §3.2.1). Raises RegistrationError.

    `scopes`: what the answer says of them. They cap nothing: a client asks for more when it needs more,
    and its person decides. `random` gives 256 bits each time. What we do not know is ignored (§2).
    """
    method = _method(body)
    grants = _grant_types(body)
    _check_response_types(body)
    uris = _redirect_uris(body)
    keys, keys_uri = _keys(body, method)
    name = _name(body)
    known = {member: _web_address(body, member) for member in _URIS}
    secret = random() if method in CONFIDENTIAL else None
    # RFC 7591 §3.1: ids and secrets are ours, whatever the body says. CIMD: never begins with https://.
    client_id = f"c{random()}"
    client = Client(
        id=client_id,
        origin="registered",
        name=name or redirects.host_of(uris[0]),
        redirect_uris=uris,
        auth_methods=frozenset({method}),
        grant_types=frozenset(grants),
        created_at=now,
        fingerprint=fingerprint(name, uris, keys, keys_uri),
        uri=known["client_uri"],
        secret_sha256=fingerprint_of(secret) if secret else None,
        jwks=keys,
        jwks_uri=keys_uri,
    )
    answer = {
        "client_id": client_id,
        "client_id_issued_at": int(now),
        "client_secret": secret,
        "client_secret_expires_at": 0 if secret else None,
        "client_name": name or None,
        "redirect_uris": list(uris),
        "grant_types": list(grants),
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "scope": " ".join(scopes),
        "jwks": keys,
        "jwks_uri": keys_uri,
        **known,
    }
    return client, {member: value for member, value in answer.items() if value is not None}


def fingerprint(
    name: str | None, uris: Sequence[str], keys: Mapping[str, Any] | None, keys_uri: str | None
) -> str:
    """Of what a person relied on when they consented."""
    return fingerprint_of(json.dumps([name, sorted(uris), keys, keys_uri], sort_keys=True))


def _redirect_uris(body: Mapping[str, Any]) -> tuple[str, ...]:
    """RFC 7591 §2: clients of redirect-based flows MUST register theirs."""
    uris = body.get("redirect_uris")
    if not isinstance(uris, list) or not 0 < len(uris) <= redirects.MAX_NUMBER:
        raise RegistrationError(
            "invalid_redirect_uri", f"redirect_uris must be a list of 1 to {redirects.MAX_NUMBER} addresses."
        )
    for number, uri in enumerate(uris, 1):
        if wrong := redirects.problem(uri):
            raise RegistrationError("invalid_redirect_uri", f"Redirect URI number {number} {wrong}.")
    return tuple(dict.fromkeys(uris))


def _method(body: Mapping[str, Any]) -> AuthMethod:
    """RFC 7591 §2: client_secret_basic where none is named."""
    method = body.get("token_endpoint_auth_method")
    if method is None:
        return "client_secret_basic"
    if method not in _METHODS:
        raise RegistrationError(
            _METADATA, f"token_endpoint_auth_method must be one of {', '.join(_METHODS)}."
        )
    return cast(AuthMethod, method)


def _grant_types(body: Mapping[str, Any]) -> tuple[str, ...]:
    """RFC 7591 §2: the server may replace what it does not have; without a code there is no way in."""
    wanted = body.get("grant_types")
    if wanted is None or wanted == []:
        return DEFAULT_GRANTS
    if not isinstance(wanted, list) or "authorization_code" not in wanted:
        raise RegistrationError(_METADATA, "grant_types must contain authorization_code.")
    return tuple(grant for grant in DEFAULT_GRANTS if grant in wanted)


def _check_response_types(body: Mapping[str, Any]) -> None:
    """RFC 7591 §2.1: the grant type authorization_code goes with the response type code."""
    wanted = body.get("response_types")
    if wanted is None or wanted == []:
        return
    if not isinstance(wanted, list) or "code" not in wanted:
        raise RegistrationError(_METADATA, "response_types must contain code.")


def _keys(body: Mapping[str, Any], method: AuthMethod) -> tuple[Mapping[str, Any] | None, str | None]:
    """RFC 7591 §2: `jwks` and `jwks_uri` exclude each other; private_key_jwt needs one."""
    keys, uri = body.get("jwks"), _web_address(body, "jwks_uri")
    if keys is not None and uri is not None:
        raise RegistrationError(_METADATA, "jwks and jwks_uri exclude each other.")
    if uri is not None and not uri.startswith("https://"):
        raise RegistrationError(_METADATA, "jwks_uri must be https.")
    if keys is not None and not _is_key_set(keys):
        raise RegistrationError(_METADATA, "jwks must be a JSON Web Key Set.")
    if method == "private_key_jwt" and keys is None and uri is None:
        raise RegistrationError(_METADATA, "private_key_jwt needs jwks or jwks_uri.")
    return keys, uri


def _is_key_set(keys: object) -> bool:
    """RFC 7517 §5, public keys alone."""
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list) or not keys["keys"]:
        return False
    public = all(isinstance(key, dict) and not {"d", "k", "p", "q"} & key.keys() for key in keys["keys"])
    return public and len(json.dumps(keys)) <= KEYS_MAX


def _name(body: Mapping[str, Any]) -> str | None:
    """As long as fits on a page; control characters never do. Pages write out what cannot be seen."""
    name = body.get("client_name")
    if name is None:
        return None
    if not isinstance(name, str):
        raise RegistrationError(_METADATA, "client_name must be a text.")
    return _CONTROLS.sub("", name).strip()[:NAME_MAX] or None


def _web_address(body: Mapping[str, Any], member: str) -> str | None:
    """RFC 7591 §5: these are shown as links, so they must not run anything."""
    value = body.get(member)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > URI_MAX or not _is_web_address(value):
        raise RegistrationError(_METADATA, f"{member} must be an http or https address.")
    return value


def _is_web_address(value: str) -> bool:
    return re.fullmatch(r"https?://[\x21\x23-\x3b\x3d\x3f-\x5b\x5d-\x7e]+", value) is not None
