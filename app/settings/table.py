"""The one table of variables: name, group, default, one sentence, and how its text becomes a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.settings import values


@dataclass(frozen=True, slots=True)
class Variable:
    """One line of the table. `parse` raises ValueError with what the value must be, as a sentence."""

    name: str
    group: str
    default: str
    meaning: str
    parse: Callable[[str], Any]
    secret: bool = False
    example: str = ""


LAN_NETWORKS = "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,169.254.0.0/16,fe80::/10"

# fmt: off
TABLE: tuple[Variable, ...] = (
    Variable("MCP_TRANSPORT", "The LAN door", "stdio", "`stdio`, `http` (streamable HTTP on /mcp) or `sse` (legacy, LAN only).", values.one_of("stdio", "http", "sse")),
    Variable("MCP_HOST", "The LAN door", "127.0.0.1", "Address of the LAN door; 0.0.0.0 for the whole LAN.", values.host),
    Variable("MCP_PORT", "The LAN door", "8084", "Port of the LAN door.", values.port),
    Variable("LAN_NETWORKS", "The LAN door", LAN_NETWORKS, "Peers that the LAN door accepts.", values.networks),
    Variable("LAN_PROXIES", "The LAN door", "", "Addresses of a reverse proxy of your own on the LAN: from these peers alone `X-Forwarded-*` and `Forwarded` are tolerated (never believed).", values.networks, example="192.168.1.2"),
    Variable("LAN_HOSTS", "The LAN door", "", "`Host` values that the LAN door accepts, each with any port. Default: loopback names, the bind address, this host's name and `.local` name.", values.hosts, example="nas.local,192.168.1.10"),
    Variable("TUNNEL_DOOR", "The tunnel door", "", "`HOST:PORT` or `unix:PATH`. Default: 127.0.0.1:8085 once CF_ACCESS_TEAM is set, else off.", values.door, example="127.0.0.1:8085"),
    Variable("BASE_URL", "The tunnel door", "", "Public URL, `https://host` without a path; its host is the only `Host` that the tunnel door accepts. Default: http://MCP_HOST:MCP_PORT.", values.base_url, example="https://brain.example.com"),
    Variable("CF_ACCESS_TEAM", "The tunnel door", "", "Cloudflare Access team name (`acme` for https://acme.cloudflareaccess.com).", values.team, example="acme"),
    Variable("CF_ACCESS_AUD", "The tunnel door", "", "One or more AUD tags of the Access application, comma separated.", values.aud, example="0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    Variable("CF_ACCESS_CERTS_URL", "The tunnel door", "", "Where the team's signing keys are; only https or loopback. Default: the team's own.", values.certs_url, example="https://acme.cloudflareaccess.com/cdn-cgi/access/certs"),
    Variable("CF_ACCESS_GET_IDENTITY", "The tunnel door", "false", "Ask Access for all groups of a person, where a rule of the policy names groups; assertions hold a trimmed list at best.", values.flag),
    Variable("RATE_LIMIT", "Limits", "6000", "Requests per minute of one principal, a tenth of them at once; on the LAN of one address. 0 for no limit.", values.whole),
    Variable("RATE_LIMIT_ATTEMPTS", "Limits", "60", "Refusals per minute of one address before anybody is known, half of them at once; more get 429. 0 for no limit.", values.whole),
    Variable("OAUTH_ENABLED", "The inner OAuth server", "false", "The inner OAuth 2.1 server; needs BASE_URL https (or loopback) and CF_ACCESS_TEAM.", values.flag),
    Variable("OAUTH_CHALLENGE", "The inner OAuth server", "minimal", "Scopes that the first 401 names: `minimal` or `full`.", values.one_of("minimal", "full")),
    Variable("OAUTH_LIST", "The inner OAuth server", "ceiling", "What lists show: `ceiling` (all that the person may consent to) or `granted`.", values.one_of("ceiling", "granted")),
    Variable("OAUTH_SIGNING_ALG", "The inner OAuth server", "RS256", "How access tokens are signed: `RS256`, which everybody can check, or `ES256`, which is shorter.", values.signing_algorithm),
    Variable("OAUTH_CLIENT_HOSTS", "The inner OAuth server", "", "Hosts whose client metadata documents are accepted, comma separated; `*.example.com` for all below, `!` in front for never. Default: every public host.", values.client_hosts, example="claude.ai,*.example.com"),
    Variable("POLICY_FILE", "Who may do what", "", "The policy. Default: DATA_DIR/policy.toml; missing: the LAN may do everything, the tunnel door lets nobody call anything.", values.plain, example="./data/policy.toml"),
    Variable("UPSTREAMS_FILE", "Who may do what", "", "Other MCP servers behind the same doors. Default: DATA_DIR/upstreams.toml.", values.plain, example="./data/upstreams.toml"),
    Variable("DATA_DIR", "Storage", "./data", "Database, last good signing keys, and later secrets; made with mode 0700.", values.plain),
    Variable("DATABASE_URL", "Storage", "", "`sqlite:///PATH`. Default: brain.db in DATA_DIR.", values.database_url, secret=True, example="sqlite:///./data/brain.db"),
    Variable("AUDIT_ARGS", "The audit log", "", "Arguments whose values are stored, as `tool.argument`, comma separated; strings are cut at 200 characters. Of all others only a digest is kept.", values.arguments, example="search.query,delete_note.id"),
    Variable("AUDIT_KEEP_DAYS", "The audit log", "365", "Days that audit records are kept; 0 for ever.", values.whole),
    Variable("AUDIT_KEEP_MB", "The audit log", "1024", "About how many megabytes of audit records are kept; the oldest go first.", values.some),
    Variable("LOG_LEVEL", "Logging", "info", "`debug`, `info`, `warning` or `error`. No token, code, secret or note text is ever logged.", values.one_of("debug", "info", "warning", "error")),
    Variable("LOG_FORMAT", "Logging", "text", "`text` or `json`.", values.one_of("text", "json")),
    Variable("CLOUDFLARE_API_TOKEN", "Provisioning", "", "API token for `brain tunnel` and `brain doctor`.", values.plain, secret=True, example="…"),
    Variable("CLOUDFLARE_ACCOUNT_ID", "Provisioning", "", "Account for `brain tunnel`.", values.plain, example="…"),
    Variable("CLOUDFLARE_API_BASE", "Provisioning", "", "Another API base than Cloudflare's; must be loopback.", values.loopback_url, example="http://127.0.0.1:9000"),
    Variable("CLOUDFLARED_BIN", "Provisioning", "", "The cloudflared to use. Default: the one on PATH, else the one in DATA_DIR, which is downloaded.", values.plain, example="/usr/local/bin/cloudflared"),
)
# fmt: on


def example_file() -> str:
    """The text of deploy/app.env.example."""
    lines = [
        "# Every setting of Brain MCP. Copy to .env and remove the # of what you change.",
        "# The environment wins over .env. Written by `make docs` from app/settings.py.",
    ]
    group = ""
    for variable in TABLE:
        if variable.group != group:
            group = variable.group
            lines += ["", f"## {group}"]
        lines += ["", f"# {variable.meaning}", f"#{variable.name}={variable.default or variable.example}"]
    return "\n".join(lines) + "\n"
