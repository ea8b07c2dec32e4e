"""The image and the compose file: what they promise, as we read them and as Compose does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.server import DRAIN_SECONDS
from app.settings import Settings, read
from app.settings.table import TABLE
from app.settings.values import Tcp
from app.tunnel.releases import PINNED

from .files import (
    COMPOSE,
    DEPLOY,
    DIGEST,
    SECONDS,
    SERVICES,
    compose_environment,
    final_stage,
    image_environment,
    instructions,
    interpolated,
)

INTERNET = {"CF_ACCESS_TEAM": "acme", "CF_ACCESS_AUD": "a" * 64, "BASE_URL": "https://brain.example.com"}
NAMES = {variable.name for variable in TABLE}


def of_server(**variables: str) -> Settings:
    return read(compose_environment("server", **variables))


def seconds(text: str) -> int:
    match = SECONDS.fullmatch(text)
    assert match is not None
    return int(match[1])


# The image


def test_every_stage_is_the_one_base_image_pinned_by_digest() -> None:
    (base,) = (said.removeprefix("PYTHON_IMAGE=") for word, said in instructions() if word == "ARG")
    assert re.fullmatch(rf"python:3\.\d+\.\d+-slim-\w+{DIGEST}", base)
    stages = [said.split(" ")[0] for word, said in instructions() if word == "FROM"]
    assert stages == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    assert [said for word, said in final_stage() if word == "USER"] == ["10001:10001"]


def test_every_dependency_is_installed_from_the_lock_with_its_hash_and_nothing_is_compiled() -> None:
    pip = "python -m pip --python /opt/brain-mcp/bin/python install"
    installs = [said for word, said in instructions() if word == "RUN" and said.startswith(pip)]
    assert installs == [
        f"{pip} --require-hashes --only-binary=:all: -r requirements.lock",
        f"{pip} --no-deps --no-build-isolation .",
    ]


def test_the_last_stage_has_no_pip_and_copies_nothing_of_the_repository() -> None:
    assert any("pip uninstall" in said for word, said in final_stage() if word == "RUN")
    copies = [said for word, said in final_stage() if word in ("COPY", "ADD")]
    assert copies == ["--from=build /opt/brain-mcp /opt/brain-mcp"]


def test_no_secret_is_in_the_image() -> None:
    assert not [name for name in image_environment() if re.search("TOKEN|SECRET|KEY|PASSWORD", name)]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    lets_in = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = {
        part
        for word, said in instructions()
        if word == "COPY" and "--from" not in said
        for part in said.split(" ")[:-1]
    }
    assert copied == lets_in


def test_the_image_starts_the_lan_door_and_exposes_it_alone() -> None:
    settings = read(image_environment())
    assert (settings.transport, settings.tunnel_door) == ("http", None)
    exposed = [said for word, said in final_stage() if word == "EXPOSE"]
    assert exposed == [str(settings.lan_door.port)]


def test_only_data_dir_is_written() -> None:
    assert [said for word, said in final_stage() if word == "VOLUME"] == [
        str(read(image_environment()).data_dir)
    ]


@pytest.mark.parametrize("word", ["ENTRYPOINT", "CMD", "HEALTHCHECK"])
def test_the_server_is_process_one_and_the_signal_reaches_it(word: str) -> None:
    (said,) = (said for found, said in final_stage() if found == word)
    assert json.loads(said[said.index("[") :])[0] in ("brain", "serve")
    assert [said for found, said in final_stage() if found == "STOPSIGNAL"] == ["SIGTERM"]


def test_the_health_check_of_the_image_is_that_of_compose() -> None:
    (said,) = (said for word, said in final_stage() if word == "HEALTHCHECK")
    check = SERVICES["server"]["healthcheck"]
    assert check["test"] == ["CMD", *json.loads(said[said.index("[") :])]
    for name in ("interval", "timeout", "start_period", "retries"):
        assert f"--{name.replace('_', '-')}={check[name]}" in said


# Compose


def test_nothing_but_the_lan_door_is_published_and_that_on_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["server"]
    (port,) = published["server"]
    assert interpolated(port) == f"127.0.0.1:8084:{of_server().lan_door.port}"
    assert interpolated(port, MCP_HOST="192.168.1.10", MCP_PORT="9000") == "192.168.1.10:9000:8084"


def test_each_door_listens_on_its_own_network() -> None:
    settings, networks = of_server(**INTERNET), SERVICES["server"]["networks"]
    assert isinstance(settings.tunnel_door, Tcp)
    assert networks["lan"]["aliases"] == [settings.lan_door.host]
    assert networks["tunnel"]["aliases"] == [settings.tunnel_door.host]


def test_the_network_of_the_tunnel_door_leads_nowhere_and_cloudflared_has_another_way_out() -> None:
    assert COMPOSE["networks"]["tunnel"] == {"internal": True}
    assert SERVICES["cloudflared"]["networks"] == ["tunnel", "internet"]
    assert not COMPOSE["networks"]["internet"]
    assert "lan" not in SERVICES["cloudflared"]["networks"]


def test_without_a_team_there_is_no_tunnel_door() -> None:
    assert of_server().tunnel_door is None


@pytest.mark.parametrize("service", ["closed", "cloudflared"])
def test_only_the_profile_tunnel_brings_the_internet(service: str) -> None:
    assert SERVICES[service]["profiles"] == ["tunnel"]


def test_the_connector_starts_after_the_door_has_refused() -> None:
    after = SERVICES["cloudflared"]["depends_on"]
    assert after["server"] == {"condition": "service_healthy"}
    assert after["closed"] == {"condition": "service_completed_successfully"}
    assert SERVICES["closed"]["command"][:2] == ["ready", "--closed"]
    assert SERVICES["closed"]["networks"] == ["tunnel"]
    assert compose_environment("closed", **INTERNET) == compose_environment("server", **INTERNET)


def test_what_clients_call_is_a_name_that_the_lan_door_accepts() -> None:
    assert {"localhost", "127.0.0.1"} <= of_server().lan_hosts
    assert "192.168.1.10" in of_server(MCP_HOST="192.168.1.10").lan_hosts
    assert of_server(LAN_HOSTS="nas.local").lan_hosts == {"nas.local"}


def test_the_token_of_the_tunnel_is_a_file_and_no_service_but_cloudflared_has_it() -> None:
    cloudflared = SERVICES["cloudflared"]
    (secret,) = cloudflared["secrets"]
    assert cloudflared["environment"] == {"TUNNEL_TOKEN_FILE": f"/run/secrets/{secret}"}
    assert COMPOSE["secrets"][secret] == {"file": f"./secrets/{secret}"}
    assert [name for name, service in SERVICES.items() if "secrets" in service] == ["cloudflared"]
    assert "env_file" not in cloudflared


def test_an_api_token_in_env_does_not_reach_the_server() -> None:
    assert compose_environment("server", CLOUDFLARE_API_TOKEN="secret")["CLOUDFLARE_API_TOKEN"] == ""


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_a_closed_box(service: str) -> None:
    box = SERVICES[service]
    assert box["read_only"] is True
    assert box["cap_drop"] == ["ALL"]
    assert box["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", box["user"])
    assert not box.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"}


def test_the_connector_is_the_release_that_is_downloaded_elsewhere_pinned_by_digest() -> None:
    image = SERVICES["cloudflared"]["image"]
    assert re.fullmatch(rf"cloudflare/cloudflared:{re.escape(PINNED)}{DIGEST}", image)


def test_the_connector_takes_no_configuration_that_is_found_in_its_box() -> None:
    command = SERVICES["cloudflared"]["command"]
    assert command[command.index("--config") + 1] == "/dev/null"
    assert command.index("tunnel") < command.index("--config") < command.index("run")
    assert "volumes" not in SERVICES["cloudflared"]


def test_whoever_stops_a_container_waits_longer_than_it_drains() -> None:
    assert seconds(SERVICES["server"]["stop_grace_period"]) > DRAIN_SECONDS + 2
    command = SERVICES["cloudflared"]["command"]
    grace = seconds(command[command.index("--grace-period") + 1])
    assert grace < seconds(SERVICES["cloudflared"]["stop_grace_period"])
    assert grace > DRAIN_SECONDS


def test_every_variable_that_compose_names_is_a_setting() -> None:
    for service in ("server", "closed"):
        assert SERVICES[service]["environment"].keys() <= NAMES
    text = (DEPLOY / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) <= NAMES
    assert {name for name in image_environment() if name not in NAMES} == {
        "PATH",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
    }


@pytest.mark.parametrize("variables", [{}, {**INTERNET, "MCP_HOST": "192.168.1.10"}])
def test_compose_reads_the_file_as_we_do(variables: dict[str, str], tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("there is no `docker compose` on this machine")
    alone = ("-f", DEPLOY / "compose.yaml", "--env-file", "/dev/null", "--profile", "tunnel")
    ran = subprocess.run(
        [docker, "compose", *alone, "config", "--format", "json"],
        capture_output=True,
        env={"PATH": str(Path(docker).parent), "HOME": str(Path.home()), **variables},
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    services: dict[str, Any] = json.loads(ran.stdout)["services"]
    said = services["server"]["environment"]
    ours = compose_environment("server", **variables)
    assert {name: ours[name] for name in said} == said
    (port,) = services["server"]["ports"]
    assert port["host_ip"] == variables.get("MCP_HOST", "127.0.0.1")
    assert "ports" not in services["cloudflared"]
