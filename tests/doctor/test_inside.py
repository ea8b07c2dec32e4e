"""Each thing broken on purpose, and what the doctor says: the right check, and the one fix."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from app.simulator import SigningKey
from tests.house import new_team

from .breakage import Breakage, Breakages
from .golden_text import same_as_golden
from .world import POLICY, Moving, World, open_world, world_of

Keys = tuple[SigningKey, SigningKey, SigningKey]
breaks: Breakages[World] = Breakages()


async def by_hand(world: World, *statements: str) -> None:
    """In a thread: the server in this loop must be able to finish what it writes."""

    def execute() -> None:
        with contextlib.closing(sqlite3.connect(world.database, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    await asyncio.to_thread(execute)


@breaks("settings")
async def settings_with_three_mistakes(world: World) -> AsyncIterator[None]:
    world.variables |= {"MCP_PORT": "brain", "CF_ACCESS_AUD": "0123", "BASE_URL": "brain.example.com"}
    yield


@breaks("settings")
async def a_name_in_the_settings_file_that_is_none(world: World) -> AsyncIterator[None]:
    (world.folder / "env").write_text("CF_ACCES_TEAM=acme\n")
    yield


@breaks("disk")
async def disk_full(world: World) -> AsyncIterator[None]:
    world.free = lambda _: 12 * 1024 * 1024
    yield


@breaks("database")
async def database_held_by_another_program(world: World) -> AsyncIterator[None]:
    connect = partial(sqlite3.connect, isolation_level=None, check_same_thread=False)
    with contextlib.closing(connect(world.database)) as holder:
        await asyncio.to_thread(holder.execute, "BEGIN IMMEDIATE")
        yield


@breaks("database")
async def database_is_no_database(world: World) -> AsyncIterator[None]:
    other = world.data / "notes.db"
    other.write_bytes(b"Dear diary, " * 100)
    other.chmod(0o600)
    world.variables["DATABASE_URL"] = f"sqlite:///{other}"
    yield


@breaks("database")
async def database_damaged(world: World) -> AsyncIterator[None]:
    other = world.data / "notes.db"
    with contextlib.closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x); ")
        connection.execute("CREATE INDEX i ON t (x)")
        connection.execute("INSERT INTO t VALUES (zeroblob(20000))")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'i'")
    other.chmod(0o600)
    world.variables["DATABASE_URL"] = f"sqlite:///{other}"
    yield


@breaks("database")
async def database_of_another_program(world: World) -> AsyncIterator[None]:
    other = world.data / "photos.db"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE photos (id)")
    other.chmod(0o600)
    world.variables["DATABASE_URL"] = f"sqlite:///{other}"
    yield


@breaks("database")
async def database_of_a_newer_version(world: World) -> AsyncIterator[None]:
    await by_hand(world, "UPDATE alembic_version SET version_num = '9999'")
    yield


@breaks("audit log")
async def audit_record_changed(world: World) -> AsyncIterator[None]:
    await world.house.tunnel_request("POST", "/mcp", token=world.house.team.token("eve@example.com"))
    await world.recorded("sign-in")
    await by_hand(world, "UPDATE audit SET principal = 'alice@example.com' WHERE operation = 'sign-in'")
    yield


@breaks("audit log")
async def audit_key_gone(world: World) -> AsyncIterator[None]:
    (world.data / "audit.key").unlink()
    yield


@breaks("secrets")
async def secrets_readable_by_others(world: World) -> AsyncIterator[None]:
    world.data.chmod(0o755)
    (world.data / "audit.key").chmod(0o644)
    yield


@breaks("policy")
async def policy_broken(world: World) -> AsyncIterator[None]:
    world.house.policy_file.write_text(POLICY.replace("scopes", "scope"))
    yield


@breaks("policy")
async def policy_missing(world: World) -> AsyncIterator[None]:
    world.house.policy_file.unlink()
    yield


@breaks("policy")
async def policy_names_a_tool_that_is_none(world: World) -> AsyncIterator[None]:
    world.house.policy_file.write_text(POLICY.replace('"create_note"', '"create_notes"'))
    yield


@breaks("policy cases")
async def policy_case_that_does_not_hold(world: World) -> AsyncIterator[None]:
    world.house.policy_file.write_text(POLICY.replace('"mcp:tools:write"', '"mcp:tools:read"'))
    yield


@breaks("Access keys")
async def certs_unreachable(world: World) -> AsyncIterator[None]:
    await world.house.access.refuse_access()
    yield


@breaks("Access keys")
async def certs_of_no_team(world: World) -> AsyncIterator[None]:
    world.house.team.certs.answers(b"<h1>Not found</h1>", content_type="text/html", status=404)
    yield


@breaks("Access keys")
async def certs_behind_a_captive_portal(world: World) -> AsyncIterator[None]:
    world.house.team.certs.answers(b"<h1>Welcome to the hotel</h1>", content_type="text/html")
    yield


@breaks("Access keys")
async def certs_down(world: World) -> AsyncIterator[None]:
    world.house.team.down()
    yield


@breaks("clock")
async def clock_five_minutes_ahead(world: World) -> AsyncIterator[None]:
    world.house.clock.advance(-300)  # Cloudflare's: to the doctor it is the same
    yield


@breaks("clock")
async def clock_five_minutes_behind(world: World) -> AsyncIterator[None]:
    world.house.clock.advance(300)
    yield


@breaks("assertions")
async def application_made_anew(world: World) -> AsyncIterator[None]:
    other = world.house.team.token("alice@example.com", aud=["0" * 64])
    await world.house.tunnel_request("POST", "/mcp", token=other)
    await world.recorded("door")
    yield


@breaks("OAuth keys")
async def oauth_keys_readable_by_others(world: World) -> AsyncIterator[None]:
    (world.data / "oauth-keys" / "keys.json").chmod(0o644)
    yield


@breaks("OAuth keys")
async def oauth_keys_broken(world: World) -> AsyncIterator[None]:
    (world.data / "oauth-keys" / "keys.json").write_text("{}")
    yield


@breaks("LAN door")
async def no_server(world: World) -> AsyncIterator[None]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else takes it meanwhile
        world.move_lan_door(closed.getsockname()[1])
        yield


@breaks("LAN door")
async def port_of_another_program(world: World) -> AsyncIterator[None]:
    world.move_lan_door(int(world.house.access.edge_url.rpartition(":")[2]))
    yield


@breaks("upstreams")
async def upstreams_file_with_a_mistake(world: World) -> AsyncIterator[None]:
    (world.data / "upstreams.toml").write_text('version = 1\n[upstream.nas]\nurl = "nas.lan"\n')
    yield


@breaks("upstreams")
async def server_runs_with_another_upstreams_file(world: World) -> AsyncIterator[None]:
    other = world.folder / "other.toml"
    other.write_text('version = 1\n[upstream.nas]\nurl = "http://nas.lan/mcp"\n')
    world.variables["UPSTREAMS_FILE"] = str(other)
    yield


@breaks("tunnel door", "cloudflared config")
async def tunnel_door_not_bound(world: World) -> AsyncIterator[None]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        world.move_tunnel_door(closed.getsockname()[1])
        yield


@breaks("tunnel door")
async def server_runs_with_another_name(world: World) -> AsyncIterator[None]:
    world.variables["BASE_URL"] = "https://notes.example.com"
    yield


@pytest.mark.parametrize("breakage", breaks.all, ids=lambda one: one.name)
async def test_what_is_broken_is_named_with_its_one_fix(
    tmp_path: Path, signing_keys: Keys, breakage: Breakage[World]
) -> None:
    async with open_world(tmp_path, signing_keys[:2]) as world, breakage.spoil(world):
        checks = await world.checks()
        failed = [check for check in checks if check.ok is False]
        assert tuple(check.name for check in failed) == breakage.failed
        assert all(check.evidence and check.fix for check in failed)
        assert same_as_golden(f"{breakage.name}.txt", world.as_told(failed))


SERVER = """from fastmcp import FastMCP
mcp = FastMCP("works")
@mcp.tool
def look() -> str: return ""
"""
WORKS = 'version = 1\n[upstream.works]\npython = "works.py:mcp"\n'
GONE = '[upstream.gone]\npython = "gone.py:mcp"\n'


async def test_an_upstream_that_does_not_answer_is_named(tmp_path: Path, signing_keys: Keys) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "works.py").write_text(SERVER)
    (tmp_path / "data" / "upstreams.toml").write_text(WORKS)
    async with open_world(tmp_path, signing_keys[:2]) as world:
        checks = {check.name: check for check in await world.checks()}
        assert (checks["upstreams"].ok, checks["upstreams"].evidence) == (True, "works: all answer")
    (tmp_path / "data" / "upstreams.toml").write_text(WORKS + GONE)
    async with open_world(tmp_path, signing_keys[:2]) as world:
        checks = {check.name: check for check in await world.checks()}
        assert (checks["upstreams"].ok, checks["upstreams"].evidence) == (False, "no answer: gone")
        assert "brain upstreams" in checks["upstreams"].fix


async def test_a_policy_may_name_tools_of_upstreams_and_of_those_that_were_never_reached(
    tmp_path: Path, signing_keys: Keys
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "works.py").write_text(SERVER)
    (data / "upstreams.toml").write_text(WORKS + GONE)
    names = '[scopes.theirs]\ntools = ["works_look", "gone_look"]\n'
    async with world_of(tmp_path, new_team(Moving(), signing_keys[:2]), POLICY + names) as world:
        check = await world.check("policy")
        assert check.ok, check
        assert "gone_look` cannot be checked" in check.lines[0]
        (data / "upstreams.toml").write_text("broken")
        assert (await world.check("policy")).ok
        (data / "upstreams.toml").write_text(WORKS)
        assert "no tool is named `gone_look`" in (await world.check("policy")).fix


async def test_what_rests_on_a_failed_check_is_not_asked_and_says_so(
    tmp_path: Path, signing_keys: Keys
) -> None:
    async with open_world(tmp_path, signing_keys[:2]) as world:
        world.database.unlink()
        world.database.mkdir()
        checks = {check.name: check for check in await world.checks()}
        assert checks["database"].ok is False
        for name in ("audit log", "kill switch", "assertions"):
            assert (checks[name].ok, checks[name].evidence) == (None, "database failed")
