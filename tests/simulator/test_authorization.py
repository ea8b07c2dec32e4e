"""Managed OAuth at the stand-in edge, from the 401 to a request that arrives."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest

from app.oauth import pkce
from app.simulator.cloudflare import Cloudflare

from .account import ALICE, BOB, Api, reached
from .connector import Connector
from .internet import HOST

CALLBACK = "https://claude.ai/api/mcp/auth_callback"
RESOURCE = f"https://{HOST}/mcp"
VERIFIER = "v" * 43
LOOPBACK = "http://127.0.0.1:33418/callback"


def managed(*allowed: str) -> dict[str, Any]:
    clients = {"enabled": True, "allow_any_on_localhost": True, "allow_any_on_loopback": True}
    return {"enabled": True, "dynamic_client_registration": {**clients, "allowed_uris": list(allowed)}}


@pytest.fixture
async def application(api: Api, tunnel: tuple[str, Connector]) -> Any:
    listed = managed(CALLBACK, "https://chatgpt.com/connector/oauth/*")
    return await api.protect(HOST, "allow", {"email": {"email": ALICE}}, oauth_configuration=listed)


class Client:
    """A program that does what the metadata says."""

    def __init__(self, http: httpx2.AsyncClient, issuer: str) -> None:
        self._http = http
        self.endpoints = f"{issuer}/cdn-cgi/access/oauth"

    async def register(self, *redirects: str, **more: Any) -> httpx2.Response:
        asked = {"redirect_uris": list(redirects), **more}
        return await self._http.post(f"{self.endpoints}/registration", json=asked)

    async def log_in(self, client_id: str, /, email: str = ALICE, **more: str) -> dict[str, str]:
        """What comes back to the redirect URI."""
        query = {
            "client_id": client_id,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "code_challenge": pkce.challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            "state": "xyz",
            **more,
        }
        login = f"{self.endpoints}/authorization?{urlencode(query)}"
        if (await self._http.get(login)).status_code != 200:
            return {}
        answer = await self._http.post(login, data={"email": email})
        assert answer.headers["location"].startswith(f"{CALLBACK}?")
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def token(self, **form: str) -> httpx2.Response:
        return await self._http.post(f"{self.endpoints}/token", data=form)

    async def redeem(self, code: str, **more: str) -> httpx2.Response:
        form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER, "resource": RESOURCE}
        return await self.token(grant_type="authorization_code", **{**form, **more})


@pytest.fixture
def client(outside: httpx2.AsyncClient, cloudflare: Cloudflare) -> Client:
    return Client(outside, cloudflare.world.team.issuer)


async def test_the_documents_lead_from_the_401_to_the_endpoints(
    outside: httpx2.AsyncClient, client: Client, application: Any
) -> None:
    challenge = (await outside.post("/mcp")).headers["www-authenticate"]
    document = (await outside.get(challenge.split('resource_metadata="')[1].rstrip('"'))).json()
    assert document["resource"] == RESOURCE
    (issuer,) = document["authorization_servers"]
    server = (await outside.get(f"{issuer}/.well-known/oauth-authorization-server")).json()
    assert server["registration_endpoint"] == f"{client.endpoints}/registration"
    assert server["token_endpoint"] == f"{client.endpoints}/token"


async def test_only_redirect_uris_of_the_applications_list_are_registered(
    client: Client, application: Any
) -> None:
    for good in (CALLBACK, "https://chatgpt.com/connector/oauth/abc", LOOPBACK, "http://localhost/x"):
        assert (await client.register(good)).status_code == 201, good
    for bad in ("https://evil.example/cb", f"{CALLBACK}/x", "https://chatgpt.com/connector/oauth", ""):
        answer = await client.register(bad)
        assert answer.status_code == 400, bad
        assert answer.json() == {
            "error": "invalid_client_metadata",
            "error_description": "redirect_uri is not allowed by the account configuration",
        }
    assert (await client.register(CALLBACK, "https://evil.example/cb")).status_code == 400


async def test_a_registration_for_no_response_type_is_refused_for_that_and_not_for_its_redirect(
    client: Client, application: Any
) -> None:
    answer = await client.register(CALLBACK, response_types=["none"])
    assert "response_types" in answer.json()["error_description"]


async def test_a_person_logs_in_for_a_client_and_its_bearer_opens_the_application(
    client: Client, outside: httpx2.AsyncClient, application: Any, tunnel: tuple[str, Connector]
) -> None:
    client_id = (await client.register(CALLBACK)).json()["client_id"]
    back = await client.log_in(client_id)
    assert back["state"] == "xyz"
    issued = (await client.redeem(back["code"])).json()
    assert (issued["token_type"], issued["expires_in"]) == ("Bearer", 900)
    bearer = {"authorization": f"Bearer {issued['access_token']}"}
    await reached(outside, tunnel[1], headers=bearer)
    again = (
        await client.token(
            grant_type="refresh_token", refresh_token=issued["refresh_token"], resource=RESOURCE
        )
    ).json()
    await reached(outside, tunnel[1], headers={"authorization": f"Bearer {again['access_token']}"})
    await outside.post(f"{client.endpoints}/revoke", data={"token": issued["access_token"]})
    assert (await outside.post("/mcp", headers=bearer)).status_code == 401


async def test_a_code_is_good_once_with_its_verifier_its_redirect_uri_and_its_resource(
    client: Client, application: Any
) -> None:
    client_id = (await client.register(CALLBACK)).json()["client_id"]
    for wrong, code in (
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"redirect_uri": LOOPBACK}, "invalid_grant"),
        ({"resource": ""}, "invalid_target"),
        ({"resource": "https://other.example.com/mcp"}, "invalid_target"),
    ):
        back = await client.log_in(client_id)
        answer = await client.redeem(back["code"], **wrong)
        assert (answer.status_code, answer.json()["error"]) == (400, code)
    back = await client.log_in(client_id)
    assert (await client.redeem(back["code"])).status_code == 200
    assert (await client.redeem(back["code"])).status_code == 400


async def test_whom_no_policy_allows_comes_back_with_no_code(client: Client, application: Any) -> None:
    client_id = (await client.register(CALLBACK)).json()["client_id"]
    back = await client.log_in(client_id, BOB)
    assert back == {"error": "access_denied", "state": "xyz"}


async def test_a_request_that_names_no_resource_no_challenge_or_another_address_shows_no_login(
    client: Client, application: Any
) -> None:
    client_id = (await client.register(CALLBACK)).json()["client_id"]
    for wrong in (
        {"resource": ""},
        {"resource": "https://other.example.com/"},
        {"code_challenge_method": "plain"},
        {"redirect_uri": LOOPBACK},
        {"client_id": "nobody"},
    ):
        assert await client.log_in(client_id, **wrong) == {}


async def test_a_bearer_of_one_application_opens_no_other(
    client: Client,
    outside: httpx2.AsyncClient,
    application: Any,
    api: Api,
    tunnel: tuple[str, Connector],
) -> None:
    rule = {"email": {"email": ALICE}}
    await api.protect(f"{HOST}/admin", "allow", rule, oauth_configuration=managed(CALLBACK))
    client_id = (await client.register(CALLBACK)).json()["client_id"]
    issued = (await client.redeem((await client.log_in(client_id))["code"])).json()
    bearer = {"authorization": f"Bearer {issued['access_token']}"}
    await reached(outside, tunnel[1], headers=bearer)
    assert (await outside.post("/admin", headers=bearer)).status_code == 401
