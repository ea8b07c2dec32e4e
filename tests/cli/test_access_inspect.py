"""`brain access inspect`: a pasted assertion, and exactly why it is refused."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.cli.main import main
from app.simulator import Application, Running, SigningKey, Simulator, Team, running
from tests.house import NIGHTLY, TEAM

from .brain import brain

pytestmark = pytest.mark.asyncio(loop_scope="module")
OTHER = "f" * 64


@dataclass
class Inspector:
    """A team that is running, and the settings that trust it."""

    team: Team
    access: Running
    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        return {
            "CF_ACCESS_TEAM": TEAM,
            "CF_ACCESS_AUD": self.team.aud,
            "CF_ACCESS_CERTS_URL": self.access.certs_url,
            "BASE_URL": "https://brain.example.com",
            "DATA_DIR": str(self.folder),
        }

    async def __call__(self, token: str) -> int:
        env_file = self.folder / "env"
        env_file.write_text("".join(f"{name}={value}\n" for name, value in self.variables.items()))
        words = ["--env-file", str(env_file), "access", "inspect", "--json", "--", token]
        return await asyncio.to_thread(main, words)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inspector(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, ...]
) -> AsyncIterator[Inspector]:
    team = Team(TEAM, now=time.time, keys=(signing_keys[0], signing_keys[1]))
    folder = tmp_path_factory.mktemp("inspect")
    async with running(
        Simulator(team, Application(origin="127.0.0.1:1", host="brain.example.com"))
    ) as access:
        yield Inspector(team, access, folder)


async def test_a_good_assertion_is_shown_and_called_good(inspector: Inspector, tmp_path: Path) -> None:
    token = inspector.team.token("Alice@example.com")
    ran = await brain(tmp_path, "access", "inspect", stdin=f"  {token}\n".encode(), **inspector.variables)
    assert (ran.code, ran.err) == (0, "")
    said = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert (said["verdict"], said["kind"], said["principal"]) == ("good", "person", "alice@example.com")
    assert json.loads(said["claims"])["email"] == "Alice@example.com"


async def test_a_service_token_is_good_too(inspector: Inspector, capsys: pytest.CaptureFixture[str]) -> None:
    assert await inspector(inspector.team.service_token(NIGHTLY)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["kind"], told["principal"]) == ("good", "service", NIGHTLY)


Make = Callable[[Team], str]
REFUSED: list[tuple[str, Make]] = [
    ("malformed", lambda team: "abc"),
    ("malformed", lambda team: ""),
    ("malformed", lambda team: "é.è.à"),
    ("malformed", lambda team: team.token().replace(".", " ")),
    ("too_large", lambda team: team.token(filler="x" * 20_000)),
    ("alg", lambda team: team.token(headers={"alg": "none"})),
    ("alg", lambda team: team.token(headers={"alg": "HS256"})),
    ("header", lambda team: team.token(headers={"jku": "https://evil.example/keys"})),
    ("kid_missing", lambda team: team.token(without_headers=["kid"])),
    ("kid_unknown", lambda team: team.token(headers={"kid": "0" * 64})),
    ("bad_signature", lambda team: team.token(sign=lambda data: b"x" * 256)),
    ("type", lambda team: team.org_token()),
    ("iss", lambda team: team.token(iss="https://evil.cloudflareaccess.com")),
    ("aud", lambda team: team.token(aud=[OTHER])),
    ("aud", lambda team: team.token(aud=5)),
    ("expired", lambda team: team.token(exp=int(team.now()) - 3600, iat=int(team.now()) - 7200)),
    ("not_yet_valid", lambda team: team.token(nbf=int(team.now()) + 3600)),
    ("lifetime", lambda team: team.token(exp=int(team.now()) + 10**8)),
    ("claims", lambda team: team.token(without=["exp"])),
    ("identity", lambda team: team.token(without=["email"])),
]


@pytest.mark.parametrize(("reason", "make"), REFUSED, ids=[f"{n}-{r}" for n, (r, _) in enumerate(REFUSED)])
async def test_a_refused_assertion_says_exactly_why(
    inspector: Inspector, reason: str, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await inspector(make(inspector.team)) == 1
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["reason"]) == ("refused", reason)


async def test_keys_that_cannot_be_had_leave_the_verdict_open(tmp_path: Path, inspector: Inspector) -> None:
    variables = {
        **inspector.variables,
        "CF_ACCESS_CERTS_URL": "http://127.0.0.1:1/certs",
        "DATA_DIR": str(tmp_path),
    }
    ran = await brain(tmp_path, "access", "inspect", "--json", inspector.team.token(), stdin=b"", **variables)
    told = json.loads(ran.out)
    assert (ran.code, told["verdict"], told["reason"]) == (1, "unknown", "temporarily_unavailable")


async def test_bytes_that_are_no_text_are_refused_like_any_other(
    tmp_path: Path, inspector: Inspector
) -> None:
    ran = await brain(tmp_path, "access", "inspect", "-", stdin=b"\xff\xfe.\x00.\xe9", **inspector.variables)
    assert ran.code == 1
    assert "verdict    refused\nreason     malformed" in ran.out


async def test_without_a_team_it_says_what_to_set(tmp_path: Path) -> None:
    ran = await brain(tmp_path, "access", "inspect", "x")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("brain: set CF_ACCESS_TEAM and CF_ACCESS_AUD first")
