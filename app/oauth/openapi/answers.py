"""What the authorization server answers, as OpenAPI says it: for its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from app.oauth import metadata
from app.oauth.client_auth import CHALLENGE
from app.oauth.forms import JSON
from app.oauth.models import AuthMethod
from app.oauth.openapi.requests import ISSUER
from app.oauth.registration import DEFAULT_GRANTS

Object = dict[str, Any]

HTML: Object = {"text/html": {"schema": {"type": "string", "pattern": "^<!doctype html>"}}}
SOME = ("mcp:tools:read",)  # stands for the scopes of the policy
# Depends on the policy or the settings; all other members are the same for everybody.
_OPEN: Mapping[str, Object] = {
    "scopes_supported": {"type": "array", "minItems": 1, "items": {"type": "string"}},
    "client_id_metadata_document_supported": {"type": "boolean"},
}


def of(members: Mapping[str, Object], *, optional: Sequence[str] = ()) -> Object:
    """An object with these members, all needed but for the `optional`, and no others."""
    return {
        "type": "object",
        "required": [name for name in members if name not in optional],
        "properties": dict(members),
        "additionalProperties": False,
    }


def described(document: Mapping[str, Any]) -> Object:
    """The schema of a metadata document: of this very one, for any issuer."""
    return of({name: _OPEN.get(name) or _value(value) for name, value in document.items()})


def _value(value: object) -> Object:
    if isinstance(value, list) and len(value) == 1:
        return {"type": "array", "minItems": 1, "maxItems": 1, "items": _value(value[0])}
    if isinstance(value, str) and value.startswith(ISSUER):
        return {"type": "string", "pattern": f"^https?://[^/]+{value[len(ISSUER) :]}$"}
    return {"const": value}


_WORD: Object = {"type": "string", "minLength": 1}
_SECONDS: Object = {"type": "integer", "minimum": 0}
_SCOPES: Object = {"type": "string", "description": "Separated by spaces"}
_KEY: Object = {"type": "object", "required": ["kty", "kid", "use", "alg"], "not": {"required": ["d"]}}
KEYS = of({"keys": {"type": "array", "minItems": 1, "items": _KEY}})
TOKENS = of(
    {
        "access_token": {**_WORD, "description": "A JWT (RFC 9068)"},
        "token_type": {"const": "Bearer"},
        "expires_in": _SECONDS,
        "scope": _SCOPES,
        "refresh_token": _WORD,
    },
    optional=["refresh_token"],
)
_ACTIVE = of(
    {
        "active": {"const": True},
        "scope": _SCOPES,
        "client_id": _WORD,
        "sub": {"type": "string", "pattern": "^(person|client):"},
        "aud": {"type": "string", "format": "uri"},
        "iss": {"type": "string", "format": "uri"},
        "exp": _SECONDS,
        "iat": _SECONDS,
        "jti": _WORD,
        "token_type": {"const": "Bearer"},
    }
)
INTROSPECTED: Object = {"oneOf": [of({"active": {"const": False}}), _ACTIVE]}
_SECRET = ("client_secret", "client_secret_expires_at")
_ECHOED = ("client_name", "jwks", "jwks_uri", "client_uri", "logo_uri", "tos_uri", "policy_uri")
REGISTERED: Object = {
    **of(
        {
            "client_id": {"type": "string", "pattern": "^c[A-Za-z0-9_-]{43}$"},
            "client_id_issued_at": _SECONDS,
            "client_secret": _WORD,
            "client_secret_expires_at": {"const": 0},
            "redirect_uris": {"type": "array", "minItems": 1, "items": _WORD},
            "grant_types": {"type": "array", "minItems": 1, "items": {"enum": list(DEFAULT_GRANTS)}},
            "response_types": {"const": ["code"]},
            "token_endpoint_auth_method": {"enum": list(get_args(AuthMethod))},
            "scope": _SCOPES,
            **{name: {"type": "object"} if name == "jwks" else _WORD for name in _ECHOED},
        },
        optional=[*_SECRET, *_ECHOED],
    ),
    "dependentRequired": {"client_secret": ["client_secret_expires_at"]},
}


SCHEMAS: Mapping[str, Object] = {
    "ProtectedResource": described(metadata.protected_resource(ISSUER, SOME)),
    "AuthorizationServer": described(metadata.authorization_server(ISSUER, SOME, documents=True)),
    "OpenIDConfiguration": described(metadata.openid_configuration(ISSUER, SOME, documents=True)),
    "Keys": KEYS,
    "Registered": REGISTERED,
    "Tokens": TOKENS,
    "Introspected": INTROSPECTED,
    "Health": of({"status": {"const": "ok"}}),
}


def _header(schema: Object, what: str = "", *, required: bool = True) -> Object:
    return {**({"description": what} if what else {}), "required": required, "schema": schema}


_TEXT: Object = {"type": "string", "minLength": 1}
HEADERS: Mapping[str, Object] = {
    "X-Request-Id": _header({"type": "string", "pattern": "^[0-9a-f]{16}$"}, "Is in the log too"),
    "X-Content-Type-Options": _header({"const": "nosniff"}),
    "Cache-Control": _header({"const": "no-store"}),
    "Retry-After": _header({"type": "string", "pattern": "^[0-9]+$"}, "Seconds"),
    "WWW-Authenticate": _header({"const": CHALLENGE}),
    "Allow": _header(_TEXT),
    "Location": _header(_TEXT),
    "Content-Security-Policy": _header({"type": "string", "pattern": "frame-ancestors 'none'"}),
    "Set-Cookie": _header(
        {"type": "string", "pattern": "; Path=/; HttpOnly; SameSite=Lax(; Secure)?$"},
        "Where this browser has no cookie of ours",
        required=False,
    ),
    **{f"Access-Control-Allow-{name}": _header(_TEXT) for name in ("Origin", "Methods", "Headers")},
}


def reference(kind: str, name: str) -> Object:
    return {"$ref": f"#/components/{kind}/{name}"}


def _headers(*names: str) -> Object:
    always = ("X-Request-Id", "X-Content-Type-Options")
    return {name: reference("headers", name) for name in (*always, *names)}


def json_answer(what: str, schema: str) -> Object:
    """With a schema of this name, for nobody to keep."""
    return _json(what, reference("schemas", schema), _headers("Cache-Control"))


def document(schema: str) -> Object:
    """As `json_answer`, for everybody to keep for a while."""
    kept = {"Cache-Control": _header({"const": f"public, max-age={metadata.SECONDS}"})}
    return _json("The document", reference("schemas", schema), {**_headers(), **kept})


def _json(what: str, schema: Object, headers: Object) -> Object:
    return {"description": what, "headers": headers, "content": {JSON: {"schema": schema}}}


def empty(what: str, *headers: str) -> Object:
    return {"description": what, "headers": _headers(*headers)}


def refusal(what: str, codes: Sequence[str], *headers: str) -> Object:
    """JSON of two members, `error` one of `codes`."""
    schema = of({"error": {"enum": list(codes)}, "error_description": _WORD})
    return _json(what, schema, _headers("Cache-Control", *headers))


def page(what: str, *headers: str, forms: bool = False) -> Object:
    """HTML. With `forms` the browser says where an answer comes from, else no address leaves the page."""
    referrer = {"Referrer-Policy": _header({"const": "same-origin" if forms else "no-referrer"})}
    named = _headers("Cache-Control", "Content-Security-Policy", *headers)
    return {"description": what, "headers": {**named, **referrer}, "content": HTML}


def redirect(what: str) -> Object:
    bare = page(what, "Location")
    return {name: value for name, value in bare.items() if name != "content"}


def _too_often() -> Object:
    """A page; as JSON where it is all requests of one person that are too many."""
    limited = refusal("Too often", ["rate_limited"], "Retry-After")
    return {**limited, "content": {**HTML, **limited["content"]}}


_AWAY = ("temporarily_unavailable", "store_unusable", "door_closed")
RESPONSES: Mapping[str, Object] = {
    "Unreadable": refusal("The request cannot be read.", ["invalid_request"]),
    "TooLarge": refusal("The body is too large.", ["too_large"]),
    "WrongHost": refusal("Of another host than `BASE_URL`", ["wrong_host"]),
    "TooOften": refusal("Too often", ["rate_limited"], "Retry-After"),
    "Away": refusal("Not now; nothing is lost.", _AWAY, "Retry-After"),
    "WrongMethod": refusal(
        "The path does not take this method (RFC 9110 §15.5.6).", ["method_not_allowed"], "Allow"
    ),
    "UnknownClient": refusal(
        "The client is not who it says (RFC 6749 §5.2).", ["invalid_client"], "WWW-Authenticate"
    ),
    "NoDocument": refusal("There is no such document: the issuer has no path.", ["not_found"]),
    "Preflight": empty("What is allowed", *(name for name in HEADERS if name.startswith("Access-Control"))),
    "UnreadablePage": page("What was asked for is not in order. The client is never told by a redirect."),
    "NotSignedInPage": page("Not signed in"),
    "NotForYouPage": page("Not for this person, this browser or this web origin"),
    "TooLargePage": page("The body is too large."),
    "TooLongPage": page("The address is too long."),
    "WrongHostPage": page("Of another host than `BASE_URL`"),
    "TooOftenPage": _too_often(),
    "AwayPage": page("Not now; nothing is lost.", "Retry-After"),
}
# Whatever is asked for.
OF_PROGRAMS = {"400": "Unreadable", "413": "TooLarge", "421": "WrongHost", "429": "TooOften", "503": "Away"}
OF_PEOPLE = {
    **{status: f"{name}Page" for status, name in OF_PROGRAMS.items()},
    "401": "NotSignedInPage",
    "403": "NotForYouPage",
}


def answered(own: Mapping[str, Object], shared: Mapping[str, str]) -> Object:
    """The responses of an operation: its own, and those that it shares with others."""
    referred = {status: reference("responses", name) for status, name in shared.items()}
    return dict(sorted({**referred, **own}.items()))
