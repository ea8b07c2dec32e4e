"""How a client finds its way from the 401 to the login page, hop by hop, and where it would get lost.

RFC 9728 §5 (challenge), §3 (metadata of the resource), RFC 8414 §3 (metadata of the authorization server),
Model Context Protocol 2025-11-25, "Authorization".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from app.doctor import dashboard
from app.doctor.checks import Verdict, counted, fine, wrong
from app.doctor.clients import McpClient
from app.tunnel.answers import Answer, Unreached

Ask = Callable[[str, str], Awaitable[Answer | Unreached]]

RESOURCE = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
OPENID_MEMBERS = ("jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported")


@dataclass
class Chain:
    """`hops` as they are asked; `mismatches` each with what the client does about it."""

    client: str
    hops: list[str] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)
    server: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.mismatches


async def follow(client: McpClient, resource: str, ask: Ask) -> Chain:
    """The literal sequence of `client`, whose user typed `resource`."""
    chain = Chain(client.name)
    first = await _hop(chain, ask, "POST", resource)
    challenge = first.challenge if isinstance(first, Answer) and first.status == 401 else {}
    if client.challenge_only and "resource_metadata" not in challenge:
        chain.mismatches.append("the 401 names no resource_metadata: it gives up here")
        return chain
    found = await _resource(chain, client, resource, challenge.get("resource_metadata", ""), ask)
    if found is None:
        guess = "there is no metadata of the resource: it would guess /authorize, /token, /register"
        chain.mismatches = chain.mismatches or [guess]
        return chain
    named = str(found.get("resource", ""))
    if client.exact and named != resource:
        chain.mismatches.append(f"`resource` is {named!r}, and it refuses all but {resource!r}")
    elif not _covers(named, resource):
        chain.mismatches.append(f"`resource` is {named!r}, which is not where {resource} is")
    issuers = found.get("authorization_servers")
    if not isinstance(issuers, list) or not issuers or not isinstance(issuers[0], str):
        chain.mismatches.append("`authorization_servers` is empty: there is nobody to log in at")
        return chain
    await _server(chain, client, issuers[0], ask)
    return chain


def in_one(chains: Sequence[Chain], *, oauth: bool) -> Verdict:
    """The discovery chain of each client; those that go the same way are told once."""
    lines: list[str] = []
    told: dict[tuple[str, ...], list[str]] = {}
    for chain in chains:
        told.setdefault((*chain.hops, *(f"! {one}" for one in chain.mismatches)), []).append(chain.client)
    for hops, clients in told.items():
        lines += [f"{', '.join(clients)}:", *(f"  {hop}" for hop in hops)]
    lost = [chain for chain in chains if not chain.ok]
    if not lost:
        return fine(f"{len(chains)} clients find the login, by {counted(len(told), 'way')}", *lines)
    return wrong(
        f"{len(lost)} of {len(chains)} clients get lost: {lost[0].client}: {lost[0].mismatches[0]}",
        _way_out(oauth=oauth),
        *lines,
    )


def _way_out(*, oauth: bool) -> str:
    if not oauth:
        return f"turn {dashboard.MANAGED_OAUTH} off and on, and save"
    return (
        "these paths must reach the tunnel door as they are: a Bypass application for /.well-known/* and "
        f"/jwks ({dashboard.APPLICATIONS}), and BASE_URL as clients type it: brain tunnel apply"
    )


async def _resource(
    chain: Chain, client: McpClient, resource: str, told: str, ask: Ask
) -> Mapping[str, Any] | None:
    """The metadata of the resource, where this client looks for it. 4xx: on to the next place."""
    url = urlsplit(resource)
    origin = f"{url.scheme}://{url.netloc}"
    places = {"challenge": told, "path": origin + RESOURCE + url.path, "root": origin + RESOURCE}
    for place in client.metadata:
        if not places[place]:
            continue
        answer = await _hop(chain, ask, "GET", places[place])
        if isinstance(answer, Unreached) or answer.status >= 500:
            chain.mismatches.append(f"{places[place]}: {answer.in_short()}, and it gives up here")
            return None
        if answer.status == 200 and isinstance(answer.document, dict):
            return answer.document
        if place == "challenge":
            chain.mismatches.append(f"the 401 names {told}, which answers {answer.in_short()}")
            return None
    return None


async def _server(chain: Chain, client: McpClient, issuer: str, ask: Ask) -> None:
    url = urlsplit(issuer)
    if url.scheme != "https" and url.hostname not in ("127.0.0.1", "localhost", "::1"):
        chain.mismatches.append(f"the authorization server is {issuer}: not https")
    origin, path = f"{url.scheme}://{url.netloc}", url.path.rstrip("/")
    places = [
        origin + SERVER + path,
        origin + OPENID + path,
        *([issuer.rstrip("/") + OPENID] if path else []),
    ]
    for place in places:
        answer = await _hop(chain, ask, "GET", place)
        if isinstance(answer, Unreached) or answer.status >= 500:
            chain.mismatches.append(f"{place}: {answer.in_short()}, and it gives up here")
            return
        if answer.status != 200 or not isinstance(answer.document, dict):
            continue
        chain.server = answer.document
        chain.mismatches += _server_mismatches(answer.document, issuer, openid=OPENID in place, client=client)
        await _keys(chain, answer.document, ask)
        return
    chain.mismatches.append(f"{issuer} has no metadata of an authorization server")


async def _keys(chain: Chain, server: Mapping[str, Any], ask: Ask) -> None:
    if not isinstance(server.get("jwks_uri"), str):
        return
    answer = await _hop(chain, ask, "GET", server["jwks_uri"])
    keys = (
        answer.document.get("keys")
        if isinstance(answer, Answer) and isinstance(answer.document, dict)
        else None
    )
    if not keys:
        chain.mismatches.append(f"jwks_uri {server['jwks_uri']} holds no keys: {answer.in_short()}")


def _server_mismatches(
    server: Mapping[str, Any], issuer: str, *, openid: bool, client: McpClient
) -> Iterator[str]:
    if server.get("issuer") != issuer:  # RFC 8414 §3.3, byte for byte
        yield f"`issuer` is {server.get('issuer')!r}, and the resource names {issuer!r}"
    for member in ("authorization_endpoint", "token_endpoint"):
        endpoint = str(server.get(member, ""))
        if urlsplit(endpoint).scheme != urlsplit(issuer).scheme:
            yield f"`{member}` is {endpoint!r}"
    if "S256" not in server.get("code_challenge_methods_supported", []):
        yield "`code_challenge_methods_supported` has no S256: it refuses to go on"
    if "code" not in server.get("response_types_supported", []):
        yield "`response_types_supported` has no code"
    methods = server.get("token_endpoint_auth_methods_supported", [])
    documents = server.get("client_id_metadata_document_supported") is True
    if documents and "none" not in methods:
        yield "it has client id metadata documents but not `none`: public clients cannot use either"
    if not documents and not server.get("registration_endpoint"):
        yield "no `registration_endpoint`, no client id metadata documents: it cannot become a client"
    if openid and client.strict_openid and (missing := [m for m in OPENID_MEMBERS if m not in server]):
        yield f"the OpenID document has no {missing[0]}"


async def _hop(chain: Chain, ask: Ask, method: str, url: str) -> Answer | Unreached:
    answer = await ask(method, url)
    chain.hops.append(f"{method} {url} → {_shown(answer)}")
    return answer


async def alike(resource: str, ask: Ask) -> Chain:
    """Each document at all the places where a client may look: the same, or clients disagree."""
    chain, url = Chain("whoever looks elsewhere"), urlsplit(resource)
    origin = f"{url.scheme}://{url.netloc}"
    for places in (
        (RESOURCE + url.path, RESOURCE, RESOURCE + url.path + "/"),
        (SERVER, SERVER + url.path, OPENID),
    ):
        answers = [await _hop(chain, ask, "GET", origin + place) for place in places]
        first = _essence(answers[0])
        for place, answer in zip(places[1:], answers[1:], strict=True):
            if isinstance(answer, Answer) and answer.status == 200 and _essence(answer) != first:
                chain.mismatches.append(f"{place} says something else than {places[0]}")
    return chain


def _essence(answer: Answer | Unreached) -> Mapping[str, Any]:
    """What two documents must have in common: who, and where. An OpenID one may say more."""
    document = answer.document if isinstance(answer, Answer) else None
    names = ("resource", "authorization_servers", "issuer", "authorization_endpoint", "token_endpoint")
    return {name: document.get(name) for name in names} if isinstance(document, dict) else {}


def _shown(answer: Answer | Unreached) -> str:
    """What of an answer leads on."""
    if isinstance(answer, Unreached):
        return answer.in_short()
    document = answer.document if isinstance(answer.document, dict) else {}
    if told := answer.challenge.get("resource_metadata"):
        return f"{answer.status}, resource_metadata {told}"
    if "authorization_servers" in document:
        servers = document["authorization_servers"] or ["none"]
        return f"{answer.status}, resource {document.get('resource')}, authorization server {servers[0]}"
    if "authorization_endpoint" in document:
        return (
            f"{answer.status}, issuer {document.get('issuer')}, login at {document['authorization_endpoint']}"
        )
    if isinstance(document.get("keys"), list):
        return f"{answer.status}, {counted(len(document['keys']), 'key')}"
    return answer.in_short().removeprefix("HTTP ")


def _covers(named: str, resource: str) -> bool:
    """The SDKs take a prefix (RFC 8707 §2)."""
    return bool(named) and (resource == named or resource.startswith(named.rstrip("/") + "/"))
