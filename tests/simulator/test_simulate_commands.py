"""`brain simulate` and `brain demo`, from the words typed to the words printed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app import settings
from app.cli import demo, simulate
from app.simulator.server import listen

from ..cli.brain import COMMAND, ROOT, brain, environ, free_port

SOON = 20


def parsed(*words: str) -> argparse.Namespace:
    top = argparse.ArgumentParser()
    nouns = top.add_subparsers()
    simulate.register(nouns)
    demo.register(nouns)
    return top.parse_args(words)


@contextlib.asynccontextmanager
async def started(*words: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """`brain simulate --json …` as a process of its own, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("simulate", "--json", "--port", "0", "--access-port", "0", *words),
        env=environ(),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SOON):
            printed = b""
            while not printed.endswith(b"\n}\n"):
                line = await process.stdout.readline()
                assert line
                printed += line
        yield process, json.loads(printed)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_simulate_prints_settings_that_the_brain_accepts_and_ends_on_a_signal() -> None:
    async with started("--people", "Ann@Example.com", "--origin", f"127.0.0.1:{free_port()}") as (
        process,
        facts,
    ):
        read = settings.read(facts["environment"])
        assert (read.access_team, read.base_url) == ("demo", facts["edge"])
        assert [person["email"] for person in facts["people"]] == ["ann@example.com"]
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get(read.access_certs_url)).status_code == 200
            token = {"cf-access-token": facts["people"][0]["token"]}
            assert (await client.get(f"{facts['edge']}/mcp", headers=token)).status_code == 502
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), SOON) == 0


def test_an_aud_tag_and_a_client_id_are_the_same_in_every_run() -> None:
    assert simulate.stable_aud("demo") == simulate.stable_aud("demo") != simulate.stable_aud("other")
    assert simulate.stable_client_id("demo", "a") != simulate.stable_client_id("demo", "b")


def test_a_port_that_is_taken_is_said_in_one_sentence() -> None:
    with contextlib.closing(listen("127.0.0.1", 0)) as taken:
        taken.listen()
        args = parsed("simulate", "--port", str(taken.getsockname()[1]), "--access-port", "0")
        with pytest.raises(simulate.CannotSimulate, match="--port"):
            args.run(args, settings.read({}))


@pytest.mark.parametrize(
    "words",
    [
        ("--origin", "http://127.0.0.1:8085"),
        ("--origin", "8085"),
        ("--port", "65536"),
        ("--port", "-1"),
        ("--team", "a.b.c"),
        ("--team", "Demo"),
        ("--people", "nobody"),
    ],
)
def test_a_word_that_cannot_be_meant_is_wrong_usage(words: tuple[str, ...], capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("simulate", *words)
    assert ended.value.code == 2


async def test_the_demo_shows_who_may_do_what_through_a_real_server_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    ran = await brain(
        ROOT,
        "demo",
        "--once",
        "--json",
        TMPDIR=str(tmp_path),
        MCP_TRANSPORT="stdio",  # what is set outside stays outside
        DATABASE_URL="sqlite:////nowhere/brain.db",
    )
    assert (ran.code, ran.err) == (0, "")
    rows = {row["who"]: row for row in json.loads(ran.out)}
    assert all(row["expected"] for row in rows.values())
    assert rows["alice@example.com"]["create_note"].startswith("allowed")
    assert "create_note" not in rows["bob@example.com"]["tools"]
    assert "search" in rows["bob@example.com"]["tools"]
    assert rows["eve@contractor.example"]["tools"] == ["whoami"]
    assert rows["nightly job (service token)"]["rules"] == ["nightly job"]
    assert rows["nobody"]["create_note"].startswith("302")
    assert rows["nobody, there with a forged assertion"]["create_note"].startswith("401")
    assert os.listdir(tmp_path) == []


async def test_simulate_a_whole_cloudflare_and_its_variables_in_a_file_as_long_as_it_runs(
    tmp_path: Path,
) -> None:
    file = tmp_path / "env"
    async with started("--cloudflare", "--zone", "example.net", "--env", str(file)) as (process, facts):
        variables = facts["environment"]
        assert file.stat().st_mode & 0o777 == 0o600
        assert f"export CLOUDFLARE_API_BASE={variables['CLOUDFLARE_API_BASE']}\n" in file.read_text()
        bearer = {"authorization": f"Bearer {variables['CLOUDFLARE_API_TOKEN']}"}
        trusting = ssl.create_default_context(cafile=variables["SSL_CERT_FILE"])
        proxy = httpx2.Proxy(variables["HTTPS_PROXY"])
        async with (
            httpx2.AsyncClient(trust_env=False) as api,
            httpx2.AsyncClient(trust_env=False, proxy=proxy, verify=trusting) as outside,
        ):
            zones = await api.get(f"{variables['CLOUDFLARE_API_BASE']}/zones", headers=bearer)
            assert [zone["name"] for zone in zones.json()["result"]] == ["example.net"]
            assert (await outside.get(f"{facts['team']}/cdn-cgi/access/certs")).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), SOON) == 0
        assert not file.exists()


async def test_without_the_libraries_of_the_tests_it_says_what_installs_them(tmp_path: Path) -> None:
    (tmp_path / "h2").mkdir()
    (tmp_path / "h2" / "__init__.py").write_text("raise ModuleNotFoundError(name='h2')\n")
    ran = await brain(tmp_path, "simulate", "--cloudflare", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "brain: The stand-in edge needs h2, which only the tests bring. `make test` installs it.\n"
    )
