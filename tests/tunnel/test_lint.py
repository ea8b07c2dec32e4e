"""Our own check of a configuration: findings.yaml has what is done to a good one, and what is found then."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.tunnel.config import ingress, render
from app.tunnel.finding import Finding
from app.tunnel.lint import lint
from app.tunnel.origin_request import HARMFUL

from .exposures import ACCESS, AUD, LAN_PORT, OAUTH

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "findings.yaml").read_text())


def good(case: dict[str, Any]) -> Any:
    exposure = OAUTH if case.get("topology") == "oauth" else ACCESS
    if case.get("remote"):
        return {"ingress": json.loads(json.dumps(ingress(exposure)))}
    read = yaml.safe_load(render(exposure, tunnel="7d2e", credentials="/etc/cloudflared/7d2e.json"))
    return {"ingress": read["ingress"]}


def steps(path: str) -> list[Any]:
    return [int(step) if step.isdigit() else step for step in path.split(".")]


def spoilt(case: dict[str, Any]) -> Any:
    if "whole" in case:
        return case["whole"]
    config = good(case)
    for path, value in json.loads(json.dumps(list(case.get("set", {}).items())).replace("$aud", AUD)):
        *way, last = steps(str(path))
        place = config
        for step in way:
            place = place[step] if isinstance(place, list) else place.setdefault(step, {})
        place[last] = value
    for path in case.get("drop", []):
        *way, last = steps(path)
        place = config
        for step in way:
            place = place[step]
        del place[last]
    return config


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["case"]))
def test_what_is_wrong_is_found_and_nothing_else(case: dict[str, Any]) -> None:
    exposure = OAUTH if case.get("topology") == "oauth" else ACCESS
    found = lint(spoilt(case), exposure, lan_port=LAN_PORT, remote=bool(case.get("remote")))
    assert [f"{one.code} {one.where}" for one in found] == case["finds"]
    for one in found:
        assert one.sentence.endswith(".")
        assert one.fix.endswith((".", "?"))


def test_every_finding_has_a_case() -> None:
    folder = Path(__file__).parents[2] / "app" / "tunnel"
    told = re.findall(r'Finding\(\s*"([a-z-]+)"', "".join(file.read_text() for file in folder.glob("*.py")))
    harmful = {code for code, _ in HARMFUL.values()}
    assert {find.split(" ")[0] for case in CASES for find in case["finds"]} == {*told, *harmful}


@pytest.mark.parametrize("envelope", ["config", "result"])
def test_what_the_api_keeps_is_read_in_its_envelope(envelope: str) -> None:
    kept: dict[str, Any] = {"ingress": ingress(ACCESS)}
    answer = {"config": kept} if envelope == "config" else {"success": True, "result": {"config": kept}}
    assert lint(answer, ACCESS, lan_port=LAN_PORT, remote=True) == ()
    del kept["ingress"][0]["originRequest"]
    assert [one.code for one in lint(answer, ACCESS, lan_port=LAN_PORT, remote=True)] == ["access-missing"]


def test_a_socket_is_the_tunnel_door_where_it_is_meant() -> None:
    on_socket = replace(ACCESS, door="unix:/run/brain/tunnel.sock")
    assert lint({"ingress": ingress(on_socket)}, on_socket, lan_port=LAN_PORT, remote=True) == ()
    (finding,) = lint({"ingress": ingress(ACCESS)}, on_socket, lan_port=LAN_PORT, remote=True)
    assert finding == Finding(
        "service-elsewhere",
        "ingress[0].service",
        "http://127.0.0.1:8085 is not the tunnel door, and that alone knows who is there.",
        "Write `service: unix:/run/brain/tunnel.sock`.",
    )


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["ingress", "hostname", "path", "service", "originRequest", "access", "audTag", "metrics"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANY, st.booleans())
def test_whatever_is_in_the_file_the_check_ends_with_findings(config: Any, remote: bool) -> None:
    for one in lint(config, OAUTH, lan_port=LAN_PORT, remote=remote):
        assert one.code
        assert one.sentence
        assert one.fix
