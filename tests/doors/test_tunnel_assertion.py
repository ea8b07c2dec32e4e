"""Which header is a credential at the tunnel door, and what a refusal gives away: nothing."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from app.simulator import SigningKey
from app.simulator.keys import base64url
from tests.access.craft import cases, craft
from tests.house import HOST, TestHouse

from .raw import Reply, post, send

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASSERTION = "Cf-Access-Jwt-Assertion"
EMAIL = "Cf-Access-Authenticated-User-Email"
Keys = tuple[SigningKey, SigningKey, SigningKey]


async def ask(house: TestHouse, *headers: str | bytes) -> Reply:
    return await send(house.tunnel, post(HOST, *headers))


def without_id(reply: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
    return reply.status, [pair for pair in reply.headers if pair[0] != "x-request-id"], reply.body


async def reasons(house: TestHouse) -> Counter[str]:
    """How often the tunnel door refused, by reason, as `/metrics` of the LAN door tells it."""
    text = (await house.lan_request(path="/metrics")).text
    found = re.findall(
        r'brain_events_total\{decision="refuse",door="tunnel",operation="door",reason="(\w+)"\} (\d+)', text
    )
    return Counter({reason: int(count) for reason, count in found})


async def test_one_good_assertion_opens(standing: TestHouse) -> None:
    token = standing.team.token()
    assert b"alice@example.com" in (await ask(standing, f"{ASSERTION}: {token}")).body
    assert (await ask(standing, f"{ASSERTION.lower()}:\t {token} \t")).status == 200
    assert (await ask(standing, f"{ASSERTION.upper()}:{token}")).status == 200


async def test_anything_but_one_assertion_header_is_no_credential(standing: TestHouse) -> None:
    token, other = standing.team.token(), standing.team.token("bob@example.com")
    refused: list[list[str | bytes]] = [
        [],
        [f"{ASSERTION}:"],
        [f"{ASSERTION}: {token}", f"{ASSERTION}: {token}"],
        [f"{ASSERTION}: {token}", f"{ASSERTION.lower()}: {other}"],
        [f"{ASSERTION}: {token}", f"{ASSERTION}:"],
        [f"{ASSERTION}: {token},{token}"],
        [f"{ASSERTION}: {token}, {other}"],
        [f"{ASSERTION}: , {token}"],
        [f"{ASSERTION}: Bearer {token}"],
        [f"{ASSERTION}: {token};"],
        [f"{ASSERTION}: {token}".encode() + b"\xa0"],
        [f"Cookie: CF_Authorization={token}"],
        [f"Cookie: CF_Authorization={token}", f"{EMAIL}: alice@example.com"],
        [f"Authorization: Bearer {token}"],
        [f"Proxy-Authorization: Bearer {token}"],
        [f"{ASSERTION.replace('-', '_')}: {token}"],
        [f"Cf-Access-Token: {token}"],
        [f"X-{ASSERTION}: {token}"],
        [f"{EMAIL}: alice@example.com"],
        [f"{EMAIL}: alice@example.com", "Cf-Access-User: alice", "X-Forwarded-User: alice"],
        ["Cf-Access-Client-Id: 0123456789abcdef.access", "Cf-Access-Client-Secret: secret"],
        ["X-Forwarded-For: 127.0.0.1", "Cf-Connecting-Ip: 127.0.0.1"],
    ]
    replies = [await ask(standing, *headers) for headers in refused]
    assert [reply.status for reply in replies] == [401] * len(refused)
    assert len({without_id(reply)[2] for reply in replies}) == 1


async def test_a_space_before_the_colon_and_a_folded_line_are_no_http(standing: TestHouse) -> None:
    token = standing.team.token()
    assert (await ask(standing, f"{ASSERTION} : {token}")).status == 400
    assert (await ask(standing, f"{ASSERTION}:\r\n {token}")).status in (400, 401)
    assert (await ask(standing, f"{ASSERTION}: {token}\x00")).status == 400


async def test_an_email_header_of_somebody_else_changes_nothing(standing: TestHouse) -> None:
    token = standing.team.token("bob@example.com")
    for headers in ([f"{EMAIL}: alice@example.com"], [f"{EMAIL}: alice@example.com"] * 2, [f"{EMAIL}: x"]):
        reply = await ask(standing, f"{ASSERTION}: {token}", *headers)
        assert b"bob@example.com" in reply.body
        assert b"alice" not in reply.body


async def mismatches(standing: TestHouse) -> float:
    metrics = (await standing.lan_request(path="/metrics")).text
    lines = [line for line in metrics.splitlines() if line.startswith("brain_events_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "identity/mismatch" in line)


async def test_an_email_header_of_somebody_else_is_on_record(standing: TestHouse) -> None:
    token, before = standing.team.token("bob@example.com"), await mismatches(standing)
    await ask(standing, f"{ASSERTION}: {token}", f"{EMAIL}: Bob@Example.com")
    assert await mismatches(standing) == before
    await ask(standing, f"{ASSERTION}: {token}", f"{EMAIL}: alice@example.com")
    assert await mismatches(standing) == before + 1


async def test_a_cookie_and_an_authorization_beside_the_assertion_change_nothing(standing: TestHouse) -> None:
    alice, bob = standing.team.token(), standing.team.token("bob@example.com")
    reply = await ask(
        standing, f"{ASSERTION}: {bob}", f"Cookie: CF_Authorization={alice}", f"Authorization: Bearer {alice}"
    )
    assert b"bob@example.com" in reply.body


async def test_above_16_kib_nothing_is_parsed(standing: TestHouse) -> None:
    before = await reasons(standing)
    fits = standing.team.token(filler="x" * 11_000)
    assert len(fits) <= 16 * 1024
    assert (await ask(standing, f"{ASSERTION}: {fits}")).status == 200
    assert (await ask(standing, f"{ASSERTION}: {standing.team.token(filler='x' * 12_500)}")).status == 401
    assert (await ask(standing, f"{ASSERTION}: {'.' * 100_000}")).status == 401
    assert await reasons(standing) - before == {"too_large": 2}


async def test_every_attack_gets_the_same_bytes_and_its_reason_only_in_the_metric(
    standing: TestHouse, signing_keys: Keys
) -> None:
    crafted = [
        (craft(attack, standing.team, signing_keys[2]), attack.reason) for attack in cases("attacks.json")
    ]
    sent = [(token, reason) for token, reason in crafted if may_be_sent(token)]
    assert len(sent) > 150
    before = await reasons(standing)
    replies = [await ask(standing, f"{ASSERTION}: {token}") for token, _ in sent]
    assert len({str(without_id(reply)) for reply in replies}) == 1
    answer = replies[0]
    assert (answer.status, answer.header("cache-control")) == (401, "no-store")
    assert len({reply.header("x-request-id") for reply in replies}) == len(sent)
    assert await reasons(standing) - before == Counter(reason for _, reason in sent)


def may_be_sent(token: str) -> bool:
    """Whether it fits into a header line as it is; the others are refused further out."""
    return token.isascii() and token.isprintable() and token == token.strip() and len(token) < 100_000


async def test_no_answer_repeats_anything_of_a_token(standing: TestHouse) -> None:
    canary = "c4n4ry-in-a-token"
    for token in (
        standing.team.token(headers={"kid": canary}),
        standing.team.token(iss=canary, aud=[canary], email=canary),
        standing.team.token(headers={"alg": canary}),
        standing.team.token(exp=canary),
        canary,
    ):
        reply = await ask(standing, f"{ASSERTION}: {token}")
        told = str(reply.headers).encode() + reply.body
        assert canary.encode() not in told
        assert base64url(canary.encode())[:10] not in told
    assert canary not in (await standing.lan_request(path="/metrics")).text


async def test_no_log_line_holds_a_token(standing: TestHouse, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    good, bad = standing.team.token(), standing.team.token(aud=["x"])
    await ask(standing, f"{ASSERTION}: {good}", f"Cookie: CF_Authorization={good}")
    await ask(standing, f"{ASSERTION}: {bad}")
    lines = "\n".join(str(record.__dict__) for record in caplog.records)
    assert "aud another application" in lines
    for token in (good, bad):
        for part in token.split("."):
            assert part not in lines


async def test_a_refused_head_request_has_no_body(standing: TestHouse) -> None:
    answer = await standing.tunnel_request("HEAD", "/mcp")
    assert (answer.status_code, answer.content) == (401, b"")
