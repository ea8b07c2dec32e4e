"""The HTTP of the authorization server as an OpenAPI 3.1 document.

Addresses, codes, ways to authenticate and what the metadata says are asked of the code that answers. What
is written out here is held by asking the whole server (tests/oauth/test_openapi.py, test_fuzz_described.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from app import __version__
from app.oauth import metadata
from app.oauth.errors import RedirectCode, RegistrationCode, TokenCode
from app.oauth.forms import FORM, JSON
from app.oauth.openapi import requests
from app.oauth.openapi.answers import (
    HEADERS,
    OF_PEOPLE,
    OF_PROGRAMS,
    RESPONSES,
    SCHEMAS,
    answered,
    document,
    empty,
    json_answer,
    page,
    redirect,
    reference,
    refusal,
)

Object = dict[str, Any]

DESCRIPTION = """\
What the tunnel door serves with `OAUTH_ENABLED`, beside `/mcp` (Model Context Protocol) and the page at `/`.

`/authorize`, `/consent` and `/healthz` take the assertion that Cloudflare Access adds to the request; every
other path is public. A method that a path does not have is answered as in
`#/components/responses/WrongMethod`.
`HEAD` is `GET` without the body. No answer depends on `Host`, `X-Forwarded-*` or any address in a header.
"""
TOKEN_CODES = [code for code in get_args(TokenCode) if code != "invalid_client"]
_IN_PERSON: list[Object] = [{"access": []}]


def openapi() -> Object:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Brain MCP, inner OAuth 2.1 server",
            "version": __version__,
            "description": DESCRIPTION,
        },
        "servers": [{"url": "{base}", "variables": {"base": {"default": requests.ISSUER}}}],
        "paths": {
            metadata.RESOURCE_PATH: _read("Protected resource metadata (RFC 9728)", "ProtectedResource"),
            metadata.RESOURCE_PATH + "/mcp": _read(
                "The same, where RFC 9728 §3.1 has clients look", "ProtectedResource"
            ),
            metadata.SERVER_PATH: _read("Authorization server metadata (RFC 8414)", "AuthorizationServer"),
            metadata.SERVER_PATH + "/mcp": _read("Nothing; old clients look here", None),
            metadata.OPENID_PATH: _read("The same for clients that look here", "OpenIDConfiguration"),
            metadata.OPENID_PATH + "/mcp": _read("Nothing; old clients look here", None),
            "/jwks": _read("The public keys that sign access tokens (RFC 7517)", "Keys"),
            "/register": {"post": _register(), "options": _preflight()},
            "/token": {"post": _token(), "options": _preflight()},
            "/revoke": {"post": _revoke(), "options": _preflight()},
            "/introspect": {"post": _introspect()},
            "/authorize": {"get": _authorize()},
            "/consent": {"get": _asked_again(), "post": _consent()},
            "/healthz": {"get": _healthz(), "head": _healthz()},
        },
        "components": {
            "securitySchemes": {
                "access": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Cf-Access-Jwt-Assertion",
                    "description": "Added by Cloudflare Access to what a signed-in person sends.",
                },
                "client_secret_basic": {"type": "http", "scheme": "basic"},
            },
            "schemas": dict(SCHEMAS),
            "headers": dict(HEADERS),
            "responses": dict(RESPONSES),
        },
    }


def _read(summary: str, schema: str | None) -> Object:
    """Public, of any web origin."""
    own = {"404": reference("responses", "NoDocument")} if schema is None else {"200": document(schema)}
    read = {"summary": summary, "responses": answered(own, OF_PROGRAMS)}
    return {"get": read, "head": read, "options": _preflight()}


def _preflight() -> Object:
    return {
        "summary": "What pages of other origins may send (CORS)",
        "responses": answered({"204": reference("responses", "Preflight")}, OF_PROGRAMS),
    }


def _register() -> Object:
    codes = [*get_args(RegistrationCode), "invalid_request"]
    return {
        "summary": "Registers a client (RFC 7591)",
        "requestBody": {"required": True, "content": {JSON: {"schema": requests.METADATA}}},
        "responses": answered(
            {
                "201": json_answer("The client as it is registered (§3.2.1)", "Registered"),
                "400": refusal("Not registered (§3.2.2)", codes),
            },
            OF_PROGRAMS,
        ),
    }


def _called(summary: str, form: Object, done: Object, codes: Sequence[str]) -> Object:
    """An endpoint for clients. `done`: the answer when all is well."""
    own = {"200": done, "400": refusal("RFC 6749 §5.2", codes)}
    return {
        "summary": summary,
        "security": [{"client_secret_basic": []}, {}],
        "requestBody": {"required": True, "content": {FORM: {"schema": form}}},
        "responses": answered(own, {**OF_PROGRAMS, "401": "UnknownClient"}),
    }


def _token() -> Object:
    return _called(
        "Tokens for a code, a refresh token or the client itself (RFC 6749 §4, §6)",
        requests.TOKEN,
        json_answer("Tokens (RFC 6749 §5.1)", "Tokens"),
        TOKEN_CODES,
    )


def _revoke() -> Object:
    return _called(
        "Ends a token; a refresh token with its whole grant (RFC 7009)",
        requests.REVOKE,
        empty("It is over, or was never there (§2.2).", "Cache-Control"),
        ["invalid_request"],
    )


def _introspect() -> Object:
    return _called(
        "Whether an access token is good now, for confidential clients (RFC 7662)",
        requests.INTROSPECT,
        json_answer("What there is to say of it (§2.2)", "Introspected"),
        ["invalid_request"],
    )


def _authorize() -> Object:
    told = ", ".join(f"`{code}`" for code in get_args(RedirectCode))
    own = {
        "200": page("The consent page", "Set-Cookie", forms=True),
        "303": redirect(f"To the client's redirect URI: `code` or `error` ({told}), `state` and `iss`"),
    }
    return {
        "summary": "Asks the person, or answers the client at once (RFC 6749 §4.1.1)",
        "security": _IN_PERSON,
        "parameters": [*requests.AUTHORIZE, requests.BROWSER],
        "responses": answered(own, {**OF_PEOPLE, "414": "TooLongPage"}),
    }


def _asked_again() -> Object:
    own = {"200": page("The consent page", forms=True)}
    return {
        "summary": "The question again, for whoever had to log in before the answer was taken",
        "security": _IN_PERSON,
        "parameters": [requests.in_query("request", requests.OPAQUE, required=True), requests.BROWSER],
        "responses": answered(own, {**OF_PEOPLE, "414": "TooLongPage"}),
    }


def _consent() -> Object:
    told = "To the client's redirect URI: `code` or `error` (`access_denied`), `state` and `iss`"
    return {
        "summary": "The person's answer, from our own page",
        "security": _IN_PERSON,
        "parameters": [*requests.OWN_PAGE, requests.BROWSER],
        "requestBody": {"required": True, "content": {FORM: {"schema": requests.CONSENT}}},
        "responses": answered({"303": redirect(told)}, OF_PEOPLE),
    }


def _healthz() -> Object:
    own = {
        "200": json_answer("It does.", "Health"),
        "401": refusal("No good assertion", ["unauthorized"]),
        "403": refusal("Of another web origin, or shut off", ["bad_origin", "denied"]),
    }
    return {
        "summary": "Whether the server lives",
        "security": _IN_PERSON,
        "responses": answered(own, OF_PROGRAMS),
    }


def text() -> str:
    """As it is kept."""
    return json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n"
