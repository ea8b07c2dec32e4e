from __future__ import annotations

import asyncio

import httpx2
import jwt
import pytest
from cryptography import x509

from app.simulator import Application, Running, SigningKey, Simulator, Team, running
from app.simulator.server import listen

CERTS = "/cdn-cgi/access/certs"
Keys = tuple[SigningKey, SigningKey, SigningKey]


async def test_the_certs_document_has_the_documented_shape(access: httpx2.AsyncClient, team: Team) -> None:
    document = (await access.get(CERTS)).json()
    assert sorted(document) == ["keys", "public_cert", "public_certs"]
    assert [key["kid"] for key in document["keys"]] == [team.current.kid, team.previous.kid]
    assert sorted(document["keys"][0]) == ["alg", "e", "kid", "kty", "n", "use"]
    assert {key["alg"] for key in document["keys"]} == {"RS256"}
    assert [cert["kid"] for cert in document["public_certs"]] == [team.current.kid, team.previous.kid]


async def test_a_published_key_verifies_a_token_and_the_single_public_cert_does_not(
    access: httpx2.AsyncClient, team: Team
) -> None:
    document = (await access.get(CERTS)).json()
    token = team.token()
    options: jwt.types.Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    key = jwt.PyJWK(document["keys"][0]).key
    assert jwt.decode(token, key, algorithms=["RS256"], audience=team.aud, options=options)
    outdated = x509.load_pem_x509_certificate(document["public_cert"]["cert"].encode()).public_key()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, outdated, algorithms=["RS256"], audience=team.aud, options=options)  # type: ignore[arg-type]


async def test_certs_answer_on_the_applications_hostname_too(edge: httpx2.AsyncClient, team: Team) -> None:
    assert (await edge.get(CERTS)).json()["keys"] == team.key_set()["keys"]


async def test_a_rotation_publishes_a_new_key_and_keeps_the_last_one(
    access: httpx2.AsyncClient, team: Team, keys: Keys
) -> None:
    before = (await access.get(CERTS)).json()["keys"]
    team.rotate_keys(keys[2])
    after = (await access.get(CERTS)).json()["keys"]
    assert [key["kid"] for key in after] == [keys[2].kid, before[0]["kid"]]


async def test_certs_requests_are_counted(access: httpx2.AsyncClient, team: Team) -> None:
    await access.get(CERTS)
    await access.get(CERTS)
    assert team.certs.requests == 2


async def test_while_the_team_is_down_certs_answer_503(access: httpx2.AsyncClient, team: Team) -> None:
    team.down()
    assert (await access.get(CERTS)).status_code == 503
    team.up()
    assert (await access.get(CERTS)).status_code == 200


async def test_an_outage_can_refuse_connections_and_end_on_the_same_port(run: Running) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(run.certs_url)).status_code == 200
        await run.refuse_access()
        with pytest.raises(httpx2.ConnectError):
            await client.get(run.certs_url)
        await run.restore_access()
        assert (await client.get(run.certs_url)).status_code == 200


async def test_certs_can_be_too_large_and_still_well_formed(access: httpx2.AsyncClient, team: Team) -> None:
    team.certs.oversized(2_000_000)
    answer = await access.get(CERTS)
    assert len(answer.content) > 2_000_000
    assert answer.json()["keys"] == team.key_set()["keys"]


async def test_certs_can_redirect(access: httpx2.AsyncClient, team: Team) -> None:
    team.certs.redirect("https://elsewhere.example/certs")
    answer = await access.get(CERTS)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://elsewhere.example/certs")


async def test_certs_can_be_any_bytes(access: httpx2.AsyncClient, team: Team) -> None:
    team.certs.answers(b"<html>Free wifi</html>", content_type="text/html")
    assert (await access.get(CERTS)).text == "<html>Free wifi</html>"


async def test_certs_can_be_held_back_until_they_are_released(access: httpx2.AsyncClient, team: Team) -> None:
    team.certs.hold()
    with pytest.raises(httpx2.ReadTimeout):
        await access.get(CERTS, timeout=0.05)
    waiting = asyncio.create_task(access.get(CERTS))
    team.certs.release()
    assert (await waiting).status_code == 200


async def test_get_identity_has_the_documented_fields_and_all_groups(
    access: httpx2.AsyncClient, team: Team
) -> None:
    team.groups_claim = False
    answer = await access.get(
        "/cdn-cgi/access/get-identity", headers={"cookie": f"CF_Authorization={team.token()}"}
    )
    identity = answer.json()
    assert (identity["email"], identity["name"]) == ("alice@example.com", "Alice")
    assert identity["groups"] == [
        {"id": "family", "name": "family", "email": ""},
        {"id": "admins", "name": "admins", "email": ""},
    ]
    assert identity["user_uuid"] == team.people["alice@example.com"].subject
    assert {"id", "idp", "geo", "account_id", "iat", "ip", "devicePosture", "mtls_auth", "version"} <= set(
        identity
    )


async def test_get_identity_knows_nobody_without_a_good_session(
    access: httpx2.AsyncClient, team: Team
) -> None:
    token = team.token()
    team.revoke("alice@example.com")
    for headers in ({}, {"cookie": "CF_Authorization=x"}, {"cookie": f"CF_Authorization={token}"}):
        assert (await access.get("/cdn-cgi/access/get-identity", headers=headers)).status_code == 401


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "::", "localhost", "example.com", ""])  # noqa: S104
def test_nothing_but_a_loopback_address_is_ever_bound(address: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        listen(address, 0)


async def test_the_ports_are_free_again_when_the_simulator_has_ended(team: Team) -> None:
    async with running(Simulator(team, Application(origin="127.0.0.1:1"))) as run:
        ports = [int(url.rsplit(":", 1)[1]) for url in (run.edge_url, run.access_url)]
    for port in ports:
        listen("127.0.0.1", port).close()


async def test_without_a_hostname_the_edges_own_address_is_the_public_one(team: Team) -> None:
    application = Application(origin="127.0.0.1:1")
    async with running(Simulator(team, application)) as run:
        assert run.edge_url == application.url == f"http://{application.host}"
