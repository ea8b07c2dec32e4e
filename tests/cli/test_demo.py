from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from app.policy.cases import run_cases
from app.policy.parse import parse
from app.server import catalogue

BRAIN = (sys.executable, "-m", "app.cli.main")
ROOT = Path(__file__).parent.parent.parent


def test_the_demo_shows_three_people_and_a_machine_with_different_tools(tmp_path: Path) -> None:
    done = subprocess.run(
        [*BRAIN, "demo", "--once"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    shown = " ".join(done.stdout.split())
    for sees in ("alice@example.com │ owner │ 12:", "bob@example.com │ readers │ 7:", "no rule │ 1: whoami"):
        assert sees in shown
    assert "nightly job │ 7:" in shown
    assert "created" in shown
    assert "is not a tool │" in shown
    assert "Without a credential: HTTP 302" in shown
    assert list(tmp_path.iterdir()) == []  # nothing is left where it was called


async def test_the_policy_of_the_demo_is_what_its_cases_say() -> None:
    policy = parse((ROOT / "deploy" / "demo" / "policy.toml").read_bytes())
    results = run_cases(policy, await catalogue())
    assert len(results) == 3
    assert all(result.ok for result in results)


def test_the_simulator_alone_says_how_to_trust_it_and_ends_when_told(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*BRAIN, "simulate", "--port", "0", "--access-port", "0", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        certs = httpx2.get(told["settings"]["CF_ACCESS_CERTS_URL"], trust_env=False)
        assert len(certs.json()["keys"]) == 2
        login = httpx2.get(told["edge"], trust_env=False, follow_redirects=True)
        assert "alice@example.com" in login.text
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize("people", ["", "nobody"])
def test_people_without_an_address_are_refused(people: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*BRAIN, "simulate", "--people", people], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert "e-mail" in done.stderr
