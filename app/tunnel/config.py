"""What cloudflared is told to let through, as the API takes it and as a file.

Source: cloudflared config/configuration.go (keys), ingress/ingress.go (rules), read at 2026.8.2.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from app.oauth.metadata import OPENID_PATH, RESOURCE_PATH, SERVER_PATH

Topology = Literal["access", "oauth"]
Rule = dict[str, object]

# The paths of the tunnel door with the inner OAuth server. First what people see, and what else takes an
# assertion of Access there; then what programs use, which know nothing of Access.
SIGNED_IN = ("/", "/authorize", "/consent", "/healthz")
PROGRAMS = (
    "/mcp",
    "/mcp/",
    RESOURCE_PATH,
    RESOURCE_PATH + "/mcp",
    SERVER_PATH,
    SERVER_PATH + "/mcp",
    OPENID_PATH,
    OPENID_PATH + "/mcp",
    "/jwks",
    "/register",
    "/token",
    "/revoke",
    "/introspect",
)
# The pattern for them is one of Go's regexp, and is looked for anywhere in a path unless it is anchored.
SIGNED_IN_PATTERN = "^/((" + "|".join(path[1:] for path in SIGNED_IN if path != "/") + ")(/.*)?)?$"
NOTHING_HERE = "http_status:404"

METRICS = "127.0.0.1:20241"
CONNECT_SECONDS = 5
# Less than the 5 s after which the server ends an idle connection, or a request is sent into a dead one.
IDLE_SECONDS = 4
# How long open streams may go on after SIGTERM, and when whoever stops cloudflared may kill it.
GRACE_SECONDS = 20
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is reachable from the internet: `hostname`, by cloudflared, at `door`.

    `door` is the tunnel door as cloudflared reaches it: `http://127.0.0.1:8085` or `unix:/path`.
    `team` and `auds`: the Access team name (`acme`, `acme.fed`) and the AUD tags of its application(s).
    """

    hostname: str
    door: str
    topology: Topology
    team: str
    auds: tuple[str, ...]


# What cloudflared/config.yml shows.
EXAMPLE = Exposure("brain.example.com", "http://127.0.0.1:8085", "access", "acme", ("0123456789abcdef" * 4,))


def ingress(exposure: Exposure) -> list[Rule]:
    """The rules as the API takes them: camelCase, durations in whole seconds."""
    closed = _rule(exposure, {"access": access(exposure)})
    nothing: Rule = {"service": NOTHING_HERE}
    if exposure.topology == "access":
        return [closed, nothing]
    pages: Rule = {"hostname": closed.pop("hostname"), "path": SIGNED_IN_PATTERN, **closed}
    return [pages, _rule(exposure, {}), nothing]


def access(exposure: Exposure) -> dict[str, object]:
    """The check that cloudflared itself makes of an assertion. It counts on a rule, and nowhere else."""
    team, dot, environment = exposure.team.partition(".")
    checked: dict[str, object] = {"required": True, "teamName": team, "audTag": list(exposure.auds)}
    return {**checked, "environment": environment} if dot else checked


def _rule(exposure: Exposure, checks: dict[str, object]) -> Rule:
    request = {**checks, "connectTimeout": CONNECT_SECONDS, "keepAliveTimeout": IDLE_SECONDS}
    return {"hostname": exposure.hostname, "service": exposure.door, "originRequest": request}


def render(exposure: Exposure, *, tunnel: str = "", credentials: str = "", metrics: str = METRICS) -> str:
    """The commented config.yml of a locally managed tunnel; `credentials` is the path of its file.

    Without a tunnel: for `brain tunnel up`, where the token says which it is.
    """
    lines = list(_HEAD)
    if tunnel:
        lines += [*_WHICH, f"tunnel: {_text(tunnel)}", f"credentials-file: {_text(credentials)}", ""]
    lines += [*_PROCESS, f"metrics: {_text(metrics)}", f"grace-period: {GRACE_SECONDS}s", "", *_RULES]
    lines += ["ingress:"]
    for rule in ingress(exposure):
        lines += ["", *(f"  # {line}" for line in _why(exposure, rule)), *_yaml_rule(rule)]
    return "\n".join(lines) + "\n"


_HEAD = [
    "# cloudflared for the Brain: a tunnel that is managed by this file. Written by `brain tunnel config`.",
    "# `brain tunnel up` needs no such file: there Cloudflare keeps the same rules with the tunnel.",
    "# Check a changed file with `brain tunnel config --check FILE`: cloudflared's own `ingress validate`",
    "# lets misspelt keys, an `access` in the wrong place, and a rule without any, pass.",
    "",
]
_WHICH = [
    "# From `cloudflared tunnel create`; the credentials are a secret: mode 0600, and never in a repository.",
]
_PROCESS = [
    "# A tunnel that updates itself restarts when it likes. Update it on purpose.",
    "no-autoupdate: true",
    "# /ready, /metrics and more, to whoever asks: on this machine only.",
]
_RULES = [
    f"# Streams that are open at SIGTERM may go on for {GRACE_SECONDS} s. Whatever stops cloudflared must",
    f"# wait longer: TimeoutStopSec={STOP_SECONDS} (systemd), stop_grace_period: {STOP_SECONDS}s (Compose).",
    "",
    "# The first rule that matches counts. A path is matched as it was sent, dot segments and all: so rules",
    "# name a host alone wherever they can. The service is the tunnel door, and never the LAN door.",
]


def _why(exposure: Exposure, rule: Rule) -> list[str]:
    if "hostname" not in rule:
        return ["Everything else is nothing. cloudflared wants such a rule, and wants it last."]
    if "path" in rule:
        return [
            "The pages that people see, behind the login of Access. The pattern begins with ^ and ends",
            "with $: without, it would match anywhere in a path.",
        ]
    if exposure.topology == "access":
        return [
            "The whole host behind Access. cloudflared refuses what comes without an assertion of this team",
            "for one of these applications, and the tunnel door looks again. `access` counts on a rule",
            "alone: at the top level it is ignored, without a word.",
        ]
    return [
        "All that programs use: they bring tokens of the inner OAuth server, which the tunnel door checks.",
    ]


def _yaml_rule(rule: Rule) -> list[str]:
    lines = [f"    {key}: {_text(value)}" for key, value in rule.items() if key != "originRequest"]
    lines[0] = "  - " + lines[0].lstrip()
    request = rule.get("originRequest")
    if not isinstance(request, dict):
        return lines
    lines.append("    originRequest:")
    for key, value in request.items():
        if isinstance(value, dict):
            lines += [f"      {key}:", *(f"        {name}: {_text(one)}" for name, one in value.items())]
        else:
            lines.append(f"      {key}: {value}s")  # a bare number would be nanoseconds here
    return lines


def _text(value: object) -> str:
    """A YAML scalar or list. JSON is YAML, so what is not plainly a word is quoted as there."""
    if isinstance(value, str) and re.fullmatch(
        r"[a-z]+://[a-z0-9.:-]+|unix:/[\w./-]+|http_status:\d+", value
    ):
        return value
    return json.dumps(value, ensure_ascii=False)
