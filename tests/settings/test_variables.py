"""Every variable: what it takes, what it refuses with which fix, and that the table is the whole of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings, SettingsInvalid, read
from app.settings.table import TABLE, example_file
from app.settings.values import Tcp, Unix

AUD, OTHER_AUD = "a" * 64, "0123456789abcdef" * 4
TUNNEL = {"CF_ACCESS_TEAM": "acme", "CF_ACCESS_AUD": AUD, "BASE_URL": "https://brain.example.com"}
# The variables that the documentation promises.
PROMISED = {
    *("MCP_TRANSPORT", "MCP_HOST", "MCP_PORT", "LAN_NETWORKS", "LAN_PROXIES", "LAN_HOSTS", "TUNNEL_DOOR"),
    *(
        "BASE_URL",
        "CF_ACCESS_TEAM",
        "CF_ACCESS_AUD",
        "CF_ACCESS_CERTS_URL",
        "OAUTH_ENABLED",
        "OAUTH_CHALLENGE",
    ),
    *("CF_ACCESS_GET_IDENTITY", "RATE_LIMIT", "RATE_LIMIT_ATTEMPTS"),
    *("AUDIT_ARGS", "AUDIT_KEEP_DAYS", "AUDIT_KEEP_MB"),
    *("OAUTH_SIGNING_ALG", "OAUTH_CLIENT_HOSTS"),
    *("OAUTH_LIST", "POLICY_FILE", "UPSTREAMS_FILE", "DATA_DIR", "DATABASE_URL", "LOG_LEVEL", "LOG_FORMAT"),
    *("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_BASE", "CLOUDFLARED_BIN"),
}


def problems(**environ: str) -> tuple[str, ...]:
    try:
        read(environ)
    except SettingsInvalid as invalid:
        return invalid.problems
    return ()


GOOD: list[tuple[dict[str, str], str, Any]] = [
    ({}, "transport", "stdio"),
    ({"MCP_TRANSPORT": "HTTP"}, "transport", "http"),
    ({"MCP_TRANSPORT": " sse "}, "transport", "sse"),
    ({}, "lan_door", Tcp("127.0.0.1", 8084)),
    ({"MCP_HOST": "192.168.1.5", "MCP_PORT": "1"}, "lan_door", Tcp("192.168.1.5", 1)),
    ({"MCP_HOST": "[::1]", "MCP_PORT": "65535"}, "lan_door", Tcp("::1", 65535)),
    ({"LAN_HOSTS": "NAS.local, [fd00::1]"}, "lan_hosts", frozenset({"nas.local", "fd00::1"})),
    ({}, "tunnel_door", None),
    (TUNNEL, "tunnel_door", Tcp("127.0.0.1", 8085)),
    ({**TUNNEL, "TUNNEL_DOOR": "[::1]:9000"}, "tunnel_door", Tcp("::1", 9000)),
    ({**TUNNEL, "TUNNEL_DOOR": "unix:/run/brain.sock"}, "tunnel_door", Unix(Path("/run/brain.sock"))),
    ({}, "base_url", "http://127.0.0.1:8084"),
    ({"BASE_URL": "https://Brain.Example.com/"}, "base_url", "https://brain.example.com"),
    ({"BASE_URL": "https://brain.example.com:8443"}, "base_url", "https://brain.example.com:8443"),
    ({"BASE_URL": "http://localhost:8085"}, "base_url", "http://localhost:8085"),
    ({**TUNNEL, "CF_ACCESS_TEAM": "acme.fed"}, "access_team", "acme.fed"),
    (TUNNEL, "access_certs_url", "https://acme.cloudflareaccess.com/cdn-cgi/access/certs"),
    ({**TUNNEL, "CF_ACCESS_AUD": f"{AUD} , {OTHER_AUD}"}, "access_aud", frozenset({AUD, OTHER_AUD})),
    ({**TUNNEL, "CF_ACCESS_CERTS_URL": "http://127.0.0.1:9/c"}, "access_certs_url", "http://127.0.0.1:9/c"),
    ({}, "access_get_identity", False),
    ({**TUNNEL, "CF_ACCESS_GET_IDENTITY": "true"}, "access_get_identity", True),
    ({}, "rate_limit", 6000),
    ({"RATE_LIMIT": "0"}, "rate_limit", 0),
    ({}, "rate_limit_attempts", 60),
    ({"RATE_LIMIT_ATTEMPTS": "5"}, "rate_limit_attempts", 5),
    ({"OAUTH_ENABLED": "off"}, "oauth_enabled", False),
    ({"OAUTH_CHALLENGE": "full"}, "oauth_challenge", "full"),
    ({"OAUTH_LIST": "granted"}, "oauth_list", "granted"),
    ({}, "oauth_signing_alg", "RS256"),
    ({"OAUTH_SIGNING_ALG": "es256"}, "oauth_signing_alg", "ES256"),
    ({}, "oauth_allowed_hosts", frozenset()),
    ({"OAUTH_CLIENT_HOSTS": "Claude.ai, *.a.example"}, "oauth_allowed_hosts", {"claude.ai", "*.a.example"}),
    ({"OAUTH_CLIENT_HOSTS": "claude.ai,!b.example"}, "oauth_denied_hosts", {"b.example"}),
    ({"DATA_DIR": "/srv/brain"}, "policy_file", Path("/srv/brain/policy.toml")),
    ({"DATA_DIR": "/srv/brain"}, "upstreams_file", Path("/srv/brain/upstreams.toml")),
    ({"DATA_DIR": "/srv/brain"}, "database_url", "sqlite:////srv/brain/brain.db"),
    ({"POLICY_FILE": "/etc/p.toml"}, "policy_file", Path("/etc/p.toml")),
    ({"DATABASE_URL": "sqlite:////tmp/x.db"}, "database_url", "sqlite:////tmp/x.db"),
    ({"LOG_LEVEL": "Debug"}, "log_level", "debug"),
    ({"LOG_FORMAT": "json"}, "log_format", "json"),
]


@pytest.mark.parametrize(("environ", "field", "value"), GOOD)
def test_a_good_value_is_taken(environ: dict[str, str], field: str, value: Any) -> None:
    assert getattr(read(environ), field) == value


BAD = {
    "MCP_TRANSPORT": (["tcp", "streamable-http"], "must be one of stdio, http, sse"),
    "MCP_HOST": (["a b", "127.0.0.1/8", "http://x", "x@y"], "must be an address or a host name"),
    "MCP_PORT": (
        ["0", "65536", "-1", "8084.0", "²", "1_0", "9" * 5000, "eighty"],
        "must be a port, 1 to 65535",
    ),
    "LAN_NETWORKS": (["192.168.1.1/16", "lan", "10.0.0.0/33", "fe80::/200"], "must be networks like"),
    "LAN_PROXIES": (["proxy.local"], "must be networks like"),
    "LAN_HOSTS": (["http://nas.local", "nas.local:8084", "a b", "nas/x", "*"], "without scheme or port"),
    "TUNNEL_DOOR": (["8085", ":8085", "127.0.0.1:0", "unix:", "x y:1", "127.0.0.1:"], "must be "),
    "BASE_URL": (
        [
            "brain.example.com",
            "https://",
            "https://h/path",
            "https://h?q",
            "https://h#f",
            "https://u:p@h",
            "ftp://h",
            "https://a b",
            "https://h:99999",
            "https://[::1",
            "https://h:",
            "javascript:1",
            "https://h\\x",
        ],
        "must be https://host, without a path",
    ),
    "CF_ACCESS_TEAM": (
        [
            "a.b",
            "acme.cloudflareaccess.com",
            "acme/",
            "acme@evil",
            "ACME",
            "-acme",
            "acme-",
            "acme.fed.x",
            ".fed",
            "https://acme",
            "acmeK",
            "ac me",
            "a" * 64,
            "acme#",
            "acme?",
            "acme:1",
            "acme%2e",
            "acme\nx",
        ],
        "must be the team name alone",
    ),
    "CF_ACCESS_AUD": (
        ["a" * 63, "a" * 65, "A" * 64, "g" * 64, f"{AUD};{AUD}", f"{AUD},x"],
        "must be AUD tags of 64",
    ),
    "CF_ACCESS_CERTS_URL": (
        [
            "http://keys.example.com/c",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1/c",
            "http://2130706433/c",
            "ftp://127.0.0.1/c",
            "file:///etc/passwd",
            "https://[::1",
            "https://u@h/c",
            "https:///c",
            "certs",
        ],
        "must be ",
    ),
    "CF_ACCESS_GET_IDENTITY": (["maybe", "2"], "must be true or false"),
    "RATE_LIMIT": (["-1", "1.5", "many", "1/s", "٣"], "must be a whole number, 0 or more"),
    "RATE_LIMIT_ATTEMPTS": (["-1", "1.5", "many", "1/s", "1e3"], "must be a whole number, 0 or more"),
    "OAUTH_ENABLED": (["maybe", "2"], "must be true or false"),
    "OAUTH_CHALLENGE": (["all"], "must be one of minimal, full"),
    "OAUTH_LIST": (["all"], "must be one of ceiling, granted"),
    "OAUTH_SIGNING_ALG": (["HS256", "none", "PS256"], "must be RS256 or ES256"),
    "OAUTH_CLIENT_HOSTS": (
        ["https://claude.ai", "localhost", "10.0.0.1", "*", "a.example:8"],
        "must be host names like claude.ai, *.example.com or !bad.example, comma separated",
    ),
    "DATABASE_URL": (
        ["mysql://h/db", "brain.db", "sqlite://x", "postgresql://h/db"],
        "use sqlite:///PATH|be sqlite",
    ),
    "LOG_LEVEL": (["trace", "10"], "must be one of debug, info, warning, error"),
    "LOG_FORMAT": (["xml"], "must be one of text, json"),
    "CLOUDFLARE_API_BASE": (
        [
            "https://api.example.com",
            "http://api.cloudflare.com",
            "https://api.cloudflare.com@evil.example",
            "//127.0.0.1",
            "ftp://127.0.0.1",
            "https://[::1",
            "127.0.0.1:9000",
        ],
        "must be a loopback URL",
    ),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name][0]])
def test_a_bad_value_is_named_with_its_fix(name: str, value: str) -> None:
    found = problems(**{name: value})
    assert len(found) == 1
    assert found[0].startswith(f"{name}=")
    assert any(fix in found[0] for fix in BAD[name][1].split("|"))


@pytest.mark.parametrize(
    "scheme_and_host", ["http://brain.example.com", "http://192.168.1.5", "http://0.0.0.0"]
)
def test_a_public_url_without_tls_is_refused(scheme_and_host: str) -> None:
    assert problems(BASE_URL=scheme_and_host) == (
        f"BASE_URL={scheme_and_host!r}: must be https (http is for loopback only)",
    )


def test_every_variable_that_is_promised_is_in_the_table_and_no_other() -> None:
    assert {variable.name for variable in TABLE} == PROMISED


def test_every_variable_has_a_sentence_and_a_default_that_it_takes_itself() -> None:
    for variable in TABLE:
        assert variable.meaning.endswith(".")
        variable.parse(variable.default)


def test_the_example_file_is_written_from_the_table() -> None:
    assert Path("deploy/app.env.example").read_text() == example_file()


def test_the_example_file_is_read_without_a_problem_as_it_is_and_with_every_line_in_use(
    tmp_path: Path,
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(example_file())
    assert read({}, env_file) == read({})
    env_file.write_text("".join(line.removeprefix("#") if is_setting(line) else line for line in lines()))
    used = read({}, env_file)
    assert isinstance(used, Settings)
    assert (used.access_team, used.base_url) == ("acme", "https://brain.example.com")


def lines() -> list[str]:
    return example_file().splitlines(keepends=True)


def is_setting(line: str) -> bool:
    return line.startswith("#") and line[1:].partition("=")[0] in PROMISED
