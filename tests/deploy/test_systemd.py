"""The units: what they promise, and what systemd itself says of them where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.cli.main import parser
from app.server import DRAIN_SECONDS
from app.settings import SettingsInvalid, read
from app.settings.values import Tcp

from .files import BRAIN_ENV, README, SECONDS, UNITS, unit, with_comments_taken_away

SERVICES = [name for name in UNITS if name.endswith(".service")]
BRAIN = "/opt/brain-mcp/.venv/bin/brain --env-file /etc/brain-mcp/brain.env "
SERVER, TUNNEL, BACKUP = "brain-mcp.service", "brain-mcp-tunnel.service", "brain-mcp-backup.service"
TARGETS = Path("/usr/lib/systemd/system")


def seconds(name: str, key: str) -> int:
    match = SECONDS.fullmatch(unit(name)["Service"][key][0])
    assert match is not None
    return int(match[1])


def commands(name: str) -> list[str]:
    service = unit(name)["Service"]
    return service.get("ExecStartPre", []) + service["ExecStart"] + service.get("ExecStartPost", [])


@pytest.mark.parametrize("name", [SERVER, BACKUP])
def test_every_command_of_a_unit_is_one_of_ours(name: str, tmp_path: Path) -> None:
    for command in commands(name):
        assert command.startswith(BRAIN)
        words = command.removeprefix(BRAIN).replace("%S", str(tmp_path)).split(" ")
        assert callable(parser().parse_args(words).run)


def test_the_settings_file_is_read_without_a_problem_as_it_comes_and_with_the_tunnel_door() -> None:
    settings = read({}, BRAIN_ENV)
    assert settings.transport == "http"
    assert settings.tunnel_door is None
    opened = read(with_comments_taken_away(BRAIN_ENV))
    assert opened.tunnel_door == Tcp("127.0.0.1", 8085)
    assert opened.base_url == "https://brain.example.com"


def test_the_settings_file_names_no_setting_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(
        "".join(f"{n}={v}\n" for n, v in with_comments_taken_away(BRAIN_ENV).items())
    )
    read({}, tmp_path / "env")
    (tmp_path / "env").write_text("MCP_HOTS=0.0.0.0\n")
    with pytest.raises(SettingsInvalid, match="did you mean MCP_HOST"):
        read({}, tmp_path / "env")


def test_data_dir_is_the_folder_that_systemd_makes_for_the_server() -> None:
    for name in (SERVER, BACKUP):
        folders = unit(name)["Service"]["StateDirectory"][0].split(" ")
        assert f"/var/lib/{folders[0]}" == str(read({}, BRAIN_ENV).data_dir)
        assert unit(name)["Service"]["User"] == ["brain-mcp"]


def test_started_means_that_it_answers_and_that_the_tunnel_door_refuses() -> None:
    said = [command.removeprefix(BRAIN) for command in unit(SERVER)["Service"]["ExecStartPost"]]
    assert said[0].startswith("ready --wait")
    assert said[1] == "ready --closed --or-off"


def test_the_connector_comes_after_the_server_and_goes_with_it() -> None:
    section = unit(TUNNEL)["Unit"]
    assert section["Requires"] == [SERVER]
    assert SERVER in section["After"][0].split(" ")


def test_the_token_is_in_no_argument_and_no_variable() -> None:
    service = unit(TUNNEL)["Service"]
    assert service["LoadCredential"] == ["tunnel-token:/etc/brain-mcp/tunnel-token"]
    assert service["Environment"] == ["TUNNEL_TOKEN_FILE=%d/tunnel-token"]
    assert "token" not in service["ExecStart"][0]


def test_the_connector_takes_no_configuration_that_is_found_on_the_machine() -> None:
    words = unit(TUNNEL)["Service"]["ExecStart"][0].split(" ")
    tunnel = words[words.index("tunnel") : words.index("run")]
    assert tunnel[tunnel.index("--config") + 1] == "/dev/null"


def test_the_connector_neither_updates_itself_nor_is_the_server_s_user() -> None:
    service = unit(TUNNEL)["Service"]
    assert "--no-autoupdate" in service["ExecStart"][0]
    assert service["DynamicUser"] == ["yes"]
    assert "User" not in service


def test_whoever_stops_a_unit_waits_longer_than_it_drains() -> None:
    assert seconds(SERVER, "TimeoutStopSec") > DRAIN_SECONDS + 2
    grace = re.search(r"--grace-period (\d+)s", unit(TUNNEL)["Service"]["ExecStart"][0])
    assert grace is not None
    assert DRAIN_SECONDS < int(grace[1]) < seconds(TUNNEL, "TimeoutStopSec")


def test_the_timer_starts_the_backup_and_makes_up_for_a_night_that_was_missed() -> None:
    timer = unit("brain-mcp-backup.timer")
    assert timer["Timer"]["Persistent"] == ["yes"]
    assert timer["Install"]["WantedBy"] == ["timers.target"]
    assert "--keep 14" in unit(BACKUP)["Service"]["ExecStart"][0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A file system of units: ours, the targets of this machine, and programs that are there."""
    if shutil.which("systemd-analyze") is None or not TARGETS.is_dir():
        pytest.skip("there is no systemd-analyze on this machine")
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for name, text in UNITS.items():
        (units / name).write_text(text)
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    for target in TARGETS.glob("*.target"):
        if not target.is_symlink():
            shutil.copy(target, tmp_path / "usr/lib/systemd/system")
    for program in ("opt/brain-mcp/.venv/bin/brain", "usr/bin/cloudflared"):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    return tmp_path


def test_systemd_has_nothing_to_say_against_the_units(root: Path) -> None:
    ran = subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", *UNITS], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_the_readme_says_how_exposed_a_unit_is(name: str, root: Path) -> None:
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", root / "etc/systemd/system" / name],
        capture_output=True,
        text=True,
    )
    score = re.search(rf"exposure level for {re.escape(name)}: ([\d.]+)", ran.stdout)
    said = re.search(rf"\| {re.escape(name)} \| ([\d.]+) \|", README)
    assert score is not None
    assert said is not None
    # Another version of systemd asks a little more or less.
    assert abs(float(score[1]) - float(said[1])) <= 0.3, ran.stdout
