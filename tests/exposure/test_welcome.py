"""Who may enter, as it is said when the way in is open."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.provision.found import Found
from app.tunnel.config import Topology
from app.welcome import welcome
from tests.provision.desk import intended
from tests.provision.test_plan import EMPTY

NOW = datetime(2026, 11, 29, tzinfo=UTC).timestamp()
POLICY = """
version = 1
[[rule]]
name = "ci"
service_tokens = ["{id}"]
scopes = ["mcp:tools:read"]
[[rule]]
name = "staff"
groups = ["staff"]
scopes = ["mcp:tools:write"]
"""
TOKENS = (
    {"id": "1", "name": "nightly", "client_id": "good.access", "expires_at": "2027-01-01T00:00:00Z"},
    {"id": "2", "name": "yearly", "client_id": "over.access", "expires_at": "2026-11-28T00:00:00Z"},
    {"id": "3", "name": "not ours", "client_id": "endless.access"},
)
FOUND = replace(EMPTY, objects={"service-token": TOKENS})


def who(id: str, *, topology: Topology = "access", found: Found = FOUND) -> list[str]:
    said = welcome("https://brain.example.com", intended(POLICY.format(id=id), topology=topology), found, NOW)
    return said.partition("Who may enter:\n")[2].partition("\n\n")[0].splitlines()


@pytest.mark.parametrize("id", ["good.access", "endless.access"])
def test_a_service_token_that_can_enter_is_listed_as_that(id: str) -> None:
    assert who(id)[0] == f"  the service token {id}: mcp:tools:read (ci)"


@pytest.mark.parametrize(
    ("id", "topology", "why"),
    [
        ("gone.access", "access", "Cloudflare has none of this client id"),
        ("over.access", "access", "it has ended"),
        ("good.access", "oauth", "Access is not asked on the way to /mcp in topology oauth"),
    ],
)
def test_a_service_token_that_cannot_enter_is_marked_with_why(id: str, topology: Topology, why: str) -> None:
    [line, _] = who(id, topology=topology)
    assert line == f"  the service token {id} (CANNOT ENTER: {why}): mcp:tools:read (ci)"


def test_a_client_of_the_inner_oauth_server_enters_where_that_is_on() -> None:
    assert who("client:nightly", topology="oauth")[0] == "  client:nightly: mcp:tools:read (ci)"
    assert "CANNOT ENTER: a client of the inner OAuth server, which is off" in who("client:nightly")[0]


def test_a_group_that_access_cannot_be_told_of_is_marked() -> None:
    assert "the group staff (CANNOT ENTER: no group of this name at Cloudflare)" in who("good.access")[1]
    known = replace(FOUND, groups=({"id": "g", "name": "staff"},))
    assert who("good.access", found=known)[1] == "  the group staff: mcp:tools:write (staff)"
