"""`brain doctor --outside` as a process, in an internet of its own, with a real cloudflared on the way."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.policy.parse import parse
from app.provision.apply import apply
from app.provision.cloudflare import cloudflare
from app.provision.files import TunnelFiles
from app.provision.service_tokens import create
from app.provision.wanted import Intent
from app.simulator import Person
from app.simulator.cloudflare import Cloudflare, open_cloudflare
from tests.cli.brain import brain, free_port, serving
from tests.edge.cloudflared import BINARY, WHY_NOT, connected
from tests.house import HOST, PUBLIC, TEAM

from .internet import POLICY

pytestmark = pytest.mark.skipif(not BINARY, reason=WHY_NOT)


@dataclass
class Exposed:
    """`lan`: where the LAN door is."""

    folder: Path
    internet: Cloudflare
    variables: dict[str, Any]
    lan: str

    async def failed(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """The exit code, and what failed by name."""
        ran = await brain(self.folder, "doctor", "--outside", "--json", **self.variables)
        checks = json.loads(ran.out)["checks"]
        return ran.code, {check["name"]: check for check in checks if check["ok"] is False}


@contextlib.asynccontextmanager
async def exposed(folder: Path) -> AsyncIterator[Exposed]:
    """A Brain, its tunnel and its Access application, as `brain tunnel up` makes them."""
    data, door = folder / "data", f"127.0.0.1:{free_port()}"
    files = TunnelFiles(data / "tunnel")
    people = [Person("alice@example.com", "Alice")]
    async with open_cloudflare(folder, now=time.time, team=TEAM, people=people) as internet:
        async with cloudflare(internet.token, base=internet.api.url, patience=5) as api:
            await create(api, files, "doctor", hostname=HOST)
            known = json.loads(files.service_token_file("doctor").read_bytes())
            policy = POLICY.format(client_id=known["client_id"])
            rules = parse(policy.encode()).rules
            made = await apply(api, files, Intent(HOST, f"http://{door}", "access", rules))
        (data / "policy.toml").write_text(policy)
        (tunnel,) = internet.account.tunnels.all()
        variables: dict[str, Any] = {
            **internet.environment(),
            "DATA_DIR": str(data),
            "TUNNEL_DOOR": door,
            "BASE_URL": PUBLIC,
            "CF_ACCESS_TEAM": TEAM,
            "CF_ACCESS_AUD": made.state.auds[0],
            "CLOUDFLARED_BIN": BINARY,
        }
        async with (
            serving(folder, **variables) as server,
            connected(internet.world, folder / "cloudflared", tunnel["id"], files.token_file.read_text()),
        ):
            variables |= {"MCP_TRANSPORT": "http", "MCP_PORT": str(server.port)}
            yield Exposed(folder, internet, variables, f"http://127.0.0.1:{server.port}")


async def test_the_whole_way_through_a_real_cloudflared_is_fine_and_what_breaks_it_is_named(
    tmp_path: Path,
) -> None:
    async with exposed(tmp_path) as net:
        assert await net.failed() == (0, {})
        account = net.internet.account
        (kept,) = account.configurations.values()
        first, *others = kept["config"]["ingress"]
        changed = {**kept["config"], "ingress": [{**first, "service": net.lan}, *others]}
        account.configurations[kept["tunnel_id"]] = {
            **kept,
            "version": kept["version"] + 1,
            "config": changed,
        }
        code, failed = await net.failed()
        assert (code, list(failed)) == (1, ["listing", "ingress", "drift"])
        assert failed["listing"]["evidence"].startswith("421 from the LAN door")
