"""A real cloudflared at the stand-in edge. `CLOUDFLARED_BIN` says where it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from app.simulator.world import World
from tests.audit.waiting import until
from tests.cli.brain import free_port

BINARY = os.environ.get("CLOUDFLARED_BIN", "")
WHY_NOT = "needs a real cloudflared: set CLOUDFLARED_BIN"


@dataclass
class Cloudflared:
    process: asyncio.subprocess.Process
    log: Path
    metrics: str

    async def ready(self) -> int:
        """The status of its own readiness endpoint."""
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://{self.metrics}/ready")).status_code

    def said(self) -> str:
        return self.log.read_text()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self, seconds: float = 20) -> int:
        async with asyncio.timeout(seconds):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def starting(
    environment: Mapping[str, str],
    folder: Path,
    token: str,
    *,
    configuration: dict[str, Any] | None = None,
    grace: str = "2s",
) -> AsyncIterator[Cloudflared]:
    """Started, not necessarily connected; killed at the end if it still runs. Its token comes by file."""
    secret, log, rules = folder / "token", folder / "log", folder / "config.yml"
    _write(secret, token, rules, configuration or {})
    metrics = f"127.0.0.1:{free_port()}"
    words = ("--config", str(rules), "--metrics", metrics, "--grace-period", grace, "run")
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            BINARY,
            "tunnel",
            "--no-autoupdate",
            *words,
            env={**environ, "TUNNEL_TOKEN_FILE": str(secret)},
            stdout=out,
            stderr=out,
        )
    try:
        yield Cloudflared(process, log, metrics)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def connected(
    world: World, folder: Path, tunnel_id: str, token: str, **more: Any
) -> AsyncIterator[Cloudflared]:
    """Registered, and a remotely managed one has its configuration."""
    before = len(world.tunnels.connections(tunnel_id))
    remote = world.tenant.configuration_of(tunnel_id) is not None

    def up() -> bool:
        there = world.tunnels.connections(tunnel_id)
        return len(there) > before and (not remote or all(each.pushed for each in there))

    async with starting(world.environment(), folder, token, **more) as cloudflared:
        try:
            await until(up, 20)
        except TimeoutError:
            raise AssertionError(cloudflared.said()) from None
        yield cloudflared


def _write(secret: Path, token: str, rules: Path, configuration: dict[str, Any]) -> None:
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(token)
    rules.write_text(yaml.safe_dump(configuration))
