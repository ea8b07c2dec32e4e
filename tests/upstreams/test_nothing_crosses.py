"""Nothing of the caller reaches an upstream, and nothing that an upstream was given comes back."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.simulator import Team
from tests.gate.wire import Caller, text_of
from tests.house import HOST, Clock

from .conftest import ALICE, PLAIN, RAW, Upstreamed, until, upstreamed

CANARY = "canary-7f3a-caller"
OTHER = "canary-1b9d-environment"
SECRET = 'p+ss/w0rd "quoted" ünïcode'
KEY = 'k+ey/w0rd "quoted" =='
TOKEN = "upstream-token-5d1e8c"
SENT = {
    "Cookie": f"CF_Authorization={CANARY}",
    "X-Custom": CANARY,
    "Traceparent": f"00-{'0af7651916cd43dd8448eb211c80319c'}-b7ad6b7169203331-01",
    "Baggage": CANARY,
    "Cf-Connecting-Ip": "192.0.2.7",
}
OURS = {"CLOUDFLARE_API_TOKEN": CANARY, "BRAIN_TEST_OTHER": OTHER, "UP_TOKEN": TOKEN}


def recorded(house: Upstreamed) -> str:
    return house.raw.read("record")


def both(folder: Path, web: Any) -> str:
    return f"""
version = 1
[upstream.up]
command = ["{sys.executable}", "-S", "{RAW}", "{folder}"]
env = {{ GIVEN = "on purpose", TOKEN = {{ env = "UP_TOKEN" }}, PASSWORD = {json.dumps(SECRET)} }}
[upstream.web]
url = "http://127.0.0.1:{web.port}/mcp"
bearer_env = "UP_TOKEN"
headers = {{ "X-Api-Key" = {{ file = "key" }} }}
[upstream.inp]
python = "{PLAIN}:mcp"
"""


POLICY = """
version = 1
[scopes.a]
tools = ["up_*", "web_*", "inp_*"]
[[rule]]
any_person = true
scopes = ["a"]
"""


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OURS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def house(tmp_path: Path, clock: Clock, team: Team, environ: None) -> Any:
    (tmp_path / "key").write_text(KEY + "\n")
    async with upstreamed(tmp_path, clock, team, both, policy=POLICY) as opened:
        yield opened


async def test_what_the_caller_sends_and_what_is_ours_is_seen_by_no_upstream(house: Upstreamed) -> None:
    token = house.house.team.token(ALICE)
    caller = Caller(house.house, "2026-07-28", token, headers=SENT)
    told = [text_of(await caller.call(f"{name}_seen")) for name in ("up", "web", "inp")]
    everything = "\n".join([*told, recorded(house)])
    for canary in (CANARY, token, ALICE, "192.0.2.7", "0af7651916cd43dd8448eb211c80319c", HOST):
        assert canary not in everything
    assert OTHER not in told[0] + told[1] + recorded(house)
    started = next(json.loads(line) for line in recorded(house).splitlines() if "started" in line)
    given = {"GIVEN", "TOKEN", "PASSWORD"}
    assert (
        given
        <= started["environ"].keys()
        <= given | {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"}
    )
    assert "BRAIN_TEST_OTHER" in os.environ  # ours, but not a setting: a file of the operator's may want it
    assert "CLOUDFLARE_API_TOKEN" not in os.environ
    assert "UP_TOKEN" not in os.environ


@pytest.mark.parametrize("name", ["up", "web"])
async def test_its_own_credential_never_comes_back(
    house: Upstreamed, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for secret in (TOKEN, SECRET if name == "up" else KEY):
        raw = secret.encode()
        forms = [
            secret,
            quote(secret, safe=""),
            raw.hex(),
            *(base64.b64encode(b"a" * n + raw).decode() for n in range(3)),
            base64.urlsafe_b64encode(raw).decode(),
            json.dumps(secret),
        ]
        (house.raw.path / "say").write_text("\n".join(f"<{form}>" for form in forms))
        answer = await house.call(f"{name}_say")
        said = text_of(answer)
        assert said.count("[redacted]") == len(forms)
        assert secret not in said
        for form in forms:
            assert form not in said
    assert TOKEN not in caplog.text
    assert SECRET not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("code", [-32000, -32001, -32095, -32097, -32700])
async def test_it_does_not_come_back_in_a_refusal_either_whatever_its_code(
    tmp_path: Path, clock: Clock, team: Team, environ: None, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """Over an older protocol, where our own words come by the same way as an upstream's."""
    (tmp_path / "key").write_text(KEY)
    async with upstreamed(tmp_path, clock, team, both, policy=POLICY, mode="legacy") as house:
        for words in (f"you sent {TOKEN}", f"SSE stream failed: {TOKEN}", f"Failed to parse {TOKEN}"):
            for name in ("up", "web"):
                said = await house.call(f"{name}_refuse", code=code, message=words, data=words)
                assert TOKEN not in json.dumps(said)
        assert TOKEN not in caplog.text


async def test_an_error_a_description_and_standard_error_are_redacted_too(
    tmp_path: Path, clock: Clock, team: Team, environ: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "key").write_text(KEY)

    def entries(folder: Path, web: Any) -> str:
        tool = {"name": "leaky", "description": f"My token is {TOKEN}.", "inputSchema": {"type": "object"}}
        (folder / "tools.json").write_text(json.dumps([tool]))
        (folder / "stderr").write_text(f"token={TOKEN}\x1b[31m")
        return both(folder, web)

    async with upstreamed(tmp_path, clock, team, entries, policy=POLICY) as house:
        listed = json.dumps(await house.caller().ask("tools/list"))
        assert "My token is [redacted]." in listed
        assert TOKEN not in listed
        assert TOKEN not in (tmp_path / "upstreams" / "up.json").read_text()

        async def heard() -> bool:
            return "raw server: up token=[redacted] [31m" in caplog.text

        await until(heard)
        assert TOKEN not in caplog.text


async def test_200_people_at_once_get_their_own_answers(house: Upstreamed) -> None:
    """Each through every kind, at the same time, in both protocols; nobody gets another's."""
    people = [f"p{number}@example.com" for number in range(200)]

    async def one(number: int, who: str) -> None:
        version = ("2026-07-28", "2025-11-25")[number % 2]
        caller = Caller(house.house, version, house.house.team.token(who))
        for name in ("up", "web", "inp"):
            assert text_of(await caller.call(f"{name}_echo", text=f"{name} for {who}")) == f"{name} for {who}"

    await asyncio.gather(*(one(number, who) for number, who in enumerate(people)))
    starts = [line for line in recorded(house).splitlines() if "started" in line]
    assert len(starts) == 1  # both protocols at once, and one process
