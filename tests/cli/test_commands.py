"""The command line as a whole: help, usage, settings, and how clients connect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import __version__
from app.cli.main import main
from app.settings.table import TABLE, example_file

from .brain import brain


async def test_help_names_every_command(tmp_path: Path) -> None:
    ran = await brain(tmp_path, "--help")
    assert (ran.code, ran.err) == (0, "")
    for word in ("serve", "connect", "policy", "access", "config", "--env-file", "--version"):
        assert word in ran.out


@pytest.mark.parametrize(
    "words", [["cook"], [], ["policy"], ["policy", "cook"], ["serve", "now"], ["--cook"]]
)
def test_wrong_usage_ends_with_two_and_shows_the_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--env-file", "/dev/null", *words])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: brain")


def test_a_settings_file_that_is_named_must_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--env-file", str(tmp_path / "typo.env"), "config"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("typo.env does not exist\n")


async def test_a_settings_file_may_be_called_like_a_command(tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("MCP_PORT=9000\n")
    ran = await brain(tmp_path, "--env-file", "policy", "config", "--json")
    assert (ran.code, json.loads(ran.out)["lan_door"]) == (0, "127.0.0.1:9000")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"brain {__version__}\n")


async def test_every_problem_of_the_settings_comes_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=loud\nMCP_PROT=1\nCLOUDFLARE_API_TOKEN s3cret\n")
    ran = await brain(tmp_path, "config", MCP_PORT="0", CLOUDFLARE_API_BASE="http://evil.example")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "brain: The settings have problems:",
        "- .env: line 3 cannot be read; write NAME=value",
        "- .env: unknown name MCP_PROT; did you mean MCP_PORT?",
        "- MCP_PORT='0': must be a port, 1 to 65535",
        "- LOG_LEVEL='loud': must be one of debug, info, warning, error",
        "- CLOUDFLARE_API_BASE='http://evil.example': must be a loopback URL, "
        "or left out for Cloudflare's own API",
    ]


async def test_config_shows_what_is_read_and_no_secret_and_warns_of_a_near_miss(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MCP_PORT=9000\nCLOUDFLARE_API_TOKEN=s3cret\n")
    ran = await brain(tmp_path, "config", "--json", MCP_PORTS="9001", CLOUDFLARE_ACCOUNT_ID="a1")
    told = json.loads(ran.out)
    assert (ran.code, told["lan_door"], told["tunnel_door"]) == (0, "127.0.0.1:9000", None)
    assert told["policy_file"] == str(tmp_path / "data" / "policy.toml")
    assert told["variables"] == [variable.name for variable in TABLE]
    assert ran.err == "brain: MCP_PORTS is set but not a setting; did you mean MCP_PORT?\n"
    assert "s3cret" not in ran.out


def test_config_prints_the_commented_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--env-file", "/dev/null", "config", "--example"]) == 0
    assert capsys.readouterr().out == example_file()


def test_connect_gives_a_snippet_for_each_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("MCP_HOST=192.168.1.5\nMCP_PORT=9000\n")
    assert main(["--env-file", str(env_file), "connect", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    url = "http://192.168.1.5:9000/mcp"
    assert told["url"] == url
    assert [client["client"] for client in told["clients"]][:2] == ["Claude Code", "Claude Desktop"]
    assert all(url in client["text"] for client in told["clients"])
    for client in told["clients"]:
        if client["where"].endswith(".json"):
            json.loads(client["text"])


def test_connect_reads_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--env-file", "/dev/null", "connect"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("The Brain on the LAN, no login: http://127.0.0.1:8084/mcp\n")
    assert "claude mcp add --transport http brain http://127.0.0.1:8084/mcp" in said
