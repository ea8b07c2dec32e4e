"""The settings of a process: read once, in the roots; every problem is found in one run, with its fix.

The table of variables is in `table.py`; `deploy/app.env.example` is written from it.
"""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from dotenv.parser import parse_stream

from app.errors import AppError
from app.settings.table import TABLE, Variable
from app.settings.values import Network, Tcp, Unix


class SettingsInvalid(AppError):
    """`problems` has one line for each thing to mend."""

    code = "settings_invalid"

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("The settings have problems:\n" + "\n".join(f"- {p}" for p in problems))


@dataclass(frozen=True)
class Settings:
    """The values, checked against each other. Paths are absolute; `tunnel_door` is None when off."""

    transport: Literal["stdio", "http", "sse"]
    lan_door: Tcp
    lan_networks: tuple[Network, ...]
    lan_proxies: tuple[Network, ...]
    lan_hosts: frozenset[str]
    tunnel_door: Tcp | Unix | None
    base_url: str
    access_team: str
    access_aud: frozenset[str]
    access_certs_url: str
    access_get_identity: bool
    rate_limit: int
    rate_limit_attempts: int
    oauth_enabled: bool
    oauth_challenge: Literal["minimal", "full"]
    oauth_list: Literal["ceiling", "granted"]
    oauth_signing_alg: Literal["RS256", "ES256"]
    oauth_allowed_hosts: frozenset[str]
    oauth_denied_hosts: frozenset[str]
    policy_file: Path
    upstreams_file: Path
    data_dir: Path
    database_url: str
    audit_args: frozenset[str]
    audit_keep_days: int
    audit_keep_mb: int
    log_level: str
    log_format: Literal["text", "json"]
    cloudflare_api_token: str = field(repr=False)
    cloudflare_account_id: str
    cloudflare_api_base: str
    cloudflared_bin: str
    warnings: tuple[str, ...] = field(default=())


_BY_NAME = {variable.name: variable for variable in TABLE}
# What a near-miss in the process environment may be: other programs share the prefixes.
_NEAR_MISS = 0.85


def read(
    environ: Mapping[str, str], env_file: Path | None = None, *, team_comes_later: bool = False
) -> Settings:
    """The settings of the environment, then of `env_file`, then the defaults.

    `team_comes_later`: for those who learn team and AUD tag from Cloudflare, so neither has to be set.
    Raises SettingsInvalid with every bad value and every unknown name of the file. A near-miss in the
    environment only warns.
    """
    problems: list[str] = []
    in_file = _read_file(env_file, problems) if env_file is not None else {}
    texts = {name: environ.get(name, in_file.get(name, "")) for name in _BY_NAME}
    values = {name: _value(variable, texts[name], problems) for name, variable in _BY_NAME.items()}
    if problems:
        raise SettingsInvalid(problems)
    settings = _assemble(values, tuple(_near_misses(environ)))
    problems += _conflicts(settings, texts)
    if not team_comes_later:
        problems += _without_team(settings)
    if problems:
        raise SettingsInvalid(problems)
    return settings


def _read_file(path: Path, problems: list[str]) -> dict[str, str]:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        problems.append(f"{path}: cannot be read: {problem}")
        return {}
    lines = list(parse_stream(StringIO(text)))
    for line in lines:
        if line.error or (line.key is not None and line.value is None):
            blank = len(line.original.string) - len(line.original.string.lstrip())
            number = line.original.line + line.original.string[:blank].count("\n")
            problems.append(f"{path}: line {number} cannot be read; write NAME=value")
    values = {line.key: line.value for line in lines if line.key is not None}
    for name in sorted(values.keys() - _BY_NAME.keys()):
        close = difflib.get_close_matches(name, _BY_NAME, 1)
        hint = f"did you mean {close[0]}?" if close else "remove it; deploy/app.env.example lists them all"
        problems.append(f"{path}: unknown name {name}; {hint}")
    return {name: value or "" for name, value in values.items() if name in _BY_NAME}


def _value(variable: Variable, text: str, problems: list[str]) -> Any:
    text = text.strip()
    try:
        return variable.parse(text or variable.default)
    except ValueError as problem:
        shown = "(hidden)" if variable.secret else repr(text)
        problems.append(f"{variable.name}={shown}: {problem}")
        return None


def _near_misses(environ: Mapping[str, str]) -> list[str]:
    warnings = []
    for name in environ.keys() - _BY_NAME.keys():
        if close := difflib.get_close_matches(name, _BY_NAME, 1, _NEAR_MISS):
            warnings.append(f"{name} is set but not a setting; did you mean {close[0]}?")
    return sorted(warnings)


def _assemble(value: Mapping[str, Any], warnings: tuple[str, ...]) -> Settings:
    data_dir = Path(value["DATA_DIR"]).expanduser().absolute()
    lan_door = Tcp(value["MCP_HOST"], value["MCP_PORT"])
    team = value["CF_ACCESS_TEAM"]
    return Settings(
        transport=value["MCP_TRANSPORT"],
        lan_door=lan_door,
        lan_networks=value["LAN_NETWORKS"],
        lan_proxies=value["LAN_PROXIES"],
        lan_hosts=value["LAN_HOSTS"] or _default_hosts(lan_door.host),
        tunnel_door=value["TUNNEL_DOOR"] or (Tcp("127.0.0.1", 8085) if team else None),
        base_url=value["BASE_URL"] or f"http://{lan_door}",
        access_team=team,
        access_aud=value["CF_ACCESS_AUD"],
        access_certs_url=value["CF_ACCESS_CERTS_URL"]
        or (f"https://{team}.cloudflareaccess.com/cdn-cgi/access/certs" if team else ""),
        access_get_identity=value["CF_ACCESS_GET_IDENTITY"],
        rate_limit=value["RATE_LIMIT"],
        rate_limit_attempts=value["RATE_LIMIT_ATTEMPTS"],
        oauth_enabled=value["OAUTH_ENABLED"],
        oauth_challenge=value["OAUTH_CHALLENGE"],
        oauth_list=value["OAUTH_LIST"],
        oauth_signing_alg=value["OAUTH_SIGNING_ALG"],
        oauth_allowed_hosts=value["OAUTH_CLIENT_HOSTS"][0],
        oauth_denied_hosts=value["OAUTH_CLIENT_HOSTS"][1],
        policy_file=_path(value["POLICY_FILE"], data_dir / "policy.toml"),
        upstreams_file=_path(value["UPSTREAMS_FILE"], data_dir / "upstreams.toml"),
        data_dir=data_dir,
        database_url=_sqlite(value["DATABASE_URL"], data_dir),
        audit_args=value["AUDIT_ARGS"],
        audit_keep_days=value["AUDIT_KEEP_DAYS"],
        audit_keep_mb=value["AUDIT_KEEP_MB"],
        log_level=value["LOG_LEVEL"],
        log_format=value["LOG_FORMAT"],
        cloudflare_api_token=value["CLOUDFLARE_API_TOKEN"],
        cloudflare_account_id=value["CLOUDFLARE_ACCOUNT_ID"],
        cloudflare_api_base=value["CLOUDFLARE_API_BASE"],
        cloudflared_bin=value["CLOUDFLARED_BIN"],
        warnings=warnings,
    )


def _path(text: str, default: Path) -> Path:
    return Path(text).expanduser().absolute() if text else default


def _sqlite(url: str, data_dir: Path) -> str:
    path = _path(url.removeprefix("sqlite:///"), data_dir / "brain.db")
    return f"sqlite:///{path}"


def _default_hosts(bind: str) -> frozenset[str]:
    name = socket.gethostname().lower()
    hosts = {"localhost", "127.0.0.1", "::1", name, f"{name.partition('.')[0]}.local"}
    return frozenset(hosts | ({bind.lower()} if bind not in ("0.0.0.0", "::") else set()))  # noqa: S104


def _conflicts(settings: Settings, texts: Mapping[str, str]) -> list[str]:
    """What is wrong only in combination."""
    found: list[str] = []
    team, aud, door = settings.access_team, settings.access_aud, settings.tunnel_door
    if team and not aud:
        found.append("CF_ACCESS_AUD: must be set with CF_ACCESS_TEAM; without it any app of the team gets in")
    if aud and not team:
        found.append("CF_ACCESS_TEAM: must be set with CF_ACCESS_AUD")
    if door is not None and team and not texts["BASE_URL"]:
        found.append("BASE_URL: must be set when the tunnel door is on, like https://brain.example.com")
    if isinstance(door, Tcp) and door.port == settings.lan_door.port:
        found.append("TUNNEL_DOOR: must have another port than MCP_PORT; the port tells the doors apart")
    return found


def _without_team(settings: Settings) -> list[str]:
    """What cannot be without CF_ACCESS_TEAM."""
    if settings.access_team:
        return []
    found: list[str] = []
    if settings.tunnel_door is not None:
        found.append("CF_ACCESS_TEAM: must be set when TUNNEL_DOOR is on; the tunnel door is never open")
    if settings.access_get_identity:
        found.append("CF_ACCESS_TEAM: must be set with CF_ACCESS_GET_IDENTITY; it is Access that is asked")
    if settings.oauth_enabled:
        found.append("CF_ACCESS_TEAM: must be set with OAUTH_ENABLED; people sign in through Access")
    return found


def base(settings: Settings) -> SplitResult:
    """The public URL, taken apart."""
    return urlsplit(settings.base_url)


def from_process(env_file: str = ".env", *, team_comes_later: bool = False) -> Settings:
    """The settings of this process. For the roots."""
    return read(os.environ, Path(env_file), team_comes_later=team_comes_later)
