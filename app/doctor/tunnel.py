"""cloudflared on this machine: which one, what its configuration says, and whether it is connected."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from app.doctor.checks import Verdict, counted, fine, unasked, wrong
from app.doctor.web import Web
from app.errors import AppError
from app.settings.values import is_loopback
from app.tunnel.answers import Answer
from app.tunnel.binary import Cloudflared, Search
from app.tunnel.config import Exposure
from app.tunnel.lint import lint
from app.tunnel.releases import MINIMUM, PINNED, shown

# Where cloudflared looks for a configuration, whoever starts it (config/configuration.go).
FOLDERS = (
    "~/.cloudflared",
    "~/.cloudflare-warp",
    "~/cloudflare-warp",
    "/etc/cloudflared",
    "/usr/local/etc/cloudflared",
)
START = "brain tunnel up, or systemctl start brain-mcp-tunnel"
NAMES = ("config.yml", "config.yaml")


def program(search: Search, *, runs: bool) -> Verdict:
    """`search`: what `app.tunnel.binary.find` found. `runs`: one answers, wherever its program is."""
    passed = search.passed_over
    if search.found is None and runs:
        return fine("it runs, and its program is elsewhere", *passed)
    if search.found is None:
        return wrong(
            "no cloudflared that can be used is on this machine, and none answers",
            f"brain tunnel up fetches {PINNED}; one that runs elsewhere is named by TUNNEL_METRICS=HOST:PORT",
            *passed,
        )
    return fine(f"{_named(search.found)}", *passed)


def refused(problem: AppError) -> Verdict:
    """The one that CLOUDFLARED_BIN names, and nobody should use."""
    return wrong(
        problem.public.partition(". ")[0],
        f"name another, {shown(MINIMUM)} or newer, or none: then brain tunnel up fetches {PINNED}",
    )


def _named(found: Cloudflared) -> str:
    version = shown(found.version) if found.version else "of no number"
    return f"cloudflared {version}, {found.path} ({found.source})"


def configurations(folders: Sequence[str] = FOLDERS) -> list[Path]:
    """Those that are there."""
    found = [Path(folder).expanduser() / name for folder in folders for name in NAMES]
    return [path for path in found if path.is_file()]


def configuration(files: Sequence[Path], exposure: Exposure, lan_port: int) -> Verdict:
    """A cloudflared that somebody else starts here would go by the first of `files`."""
    if not files:
        return unasked("no configuration file is here; Cloudflare keeps it with the tunnel")
    file = files[0]
    try:
        text = file.read_text("utf-8")
        if exposure.hostname not in text:
            return unasked(f"{file} is not about {exposure.hostname}")
        parsed = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        return wrong(f"{file} cannot be read: {problem}", "brain tunnel config writes a new one")
    return linted(str(file), parsed, exposure, lan_port)


def linted(where: str, config: object, exposure: Exposure, lan_port: int, *, remote: bool = False) -> Verdict:
    findings = lint(config, exposure, lan_port=lan_port, remote=remote)
    if not findings:
        return fine(f"{where} exposes {exposure.hostname} at the tunnel door, and nothing else")
    first, *others = findings
    told = [f"{one.where}: {one.sentence} {one.fix}" for one in others]
    return wrong(f"{where}: {first.where}: {first.sentence}", first.fix, *told)


def metrics_in(processes: str, named: str, token_file: Path) -> list[str]:
    """Where a cloudflared of this machine may tell how it is.

    `processes`: command lines. The one that runs with `token_file` is ours; else the one that `named`
    (TUNNEL_METRICS) tells; else any on loopback, and the ports that one tries which is told none.
    """
    lines = [line.split() for line in processes.splitlines()]
    said = [
        (words[words.index("--metrics") + 1], str(token_file) in words)
        for words in lines
        if "--metrics" in words[:-1] and any(Path(word).name.startswith("cloudflared") for word in words)
    ]
    said = [(at, is_ours) for at, is_ours in said if is_loopback(at.rpartition(":")[0])]
    if ours := [at for at, is_ours in said if is_ours]:
        return list(dict.fromkeys(ours))
    usual = [f"127.0.0.1:{port}" for port in range(20241, 20246)]
    return [named] if named else list(dict.fromkeys([*(at for at, _ in said), *usual]))


def processes() -> str:
    """The command lines of this machine; nothing where there is no `ps`."""
    try:
        listed = subprocess.run(["ps", "-axww", "-o", "args="], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return listed.stdout


async def ready(addresses: Sequence[str], here: Web) -> dict[str, Answer]:
    """What `/ready` says, wherever a cloudflared answers."""
    answers = {at: await here.ask("GET", f"http://{at}/ready") for at in addresses}
    return {
        at: answer
        for at, answer in answers.items()
        if isinstance(answer, Answer) and isinstance(_of(answer).get("readyConnections"), int)
    }


def connector(found: Mapping[str, Answer]) -> Verdict:
    """`found`: by address, what `/ready` of each cloudflared said: 200 with a connection, 503 without."""
    if not found:
        return wrong(
            "no cloudflared runs on this machine",
            f"{START}; one that runs elsewhere is named by TUNNEL_METRICS=HOST:PORT",
        )
    connected = {at: _of(answer)["readyConnections"] for at, answer in found.items() if answer.status == 200}
    if not any(connected.values()):
        return wrong(
            "cloudflared runs, but has no connection to Cloudflare",
            "let it out on port 7844 (TCP and UDP); where UDP is blocked: TUNNEL_TRANSPORT_PROTOCOL=http2",
        )
    return fine("; ".join(f"{at} has {counted(number, 'connection')}" for at, number in connected.items()))


def connector_id(answer: Answer) -> str:
    return str(_of(answer).get("connectorId", ""))


def _of(answer: Answer) -> Mapping[str, Any]:
    return answer.document if isinstance(answer.document, Mapping) else {}
