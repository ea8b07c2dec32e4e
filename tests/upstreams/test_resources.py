"""Resources of an upstream: under which URI they are here, and what is read of them."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.cli.upstreams_add import suggestion
from app.simulator import Team
from app.upstreams.entries import Entry, Url
from app.upstreams.listing import listing
from tests.gate.wire import VERSIONS
from tests.house import Clock

from .conftest import ALICE, Upstreamed, raw_entry, until, upstreamed

POLICY = """
version = 1
[scopes.a]
tools = ["*"]
resources = ["*"]
[[rule]]
any_person = true
scopes = ["a", "mcp:tools:read"]
"""
RESOURCES = ["memo:one", "urn:isbn:123", "raw://n"]
TEMPLATES = ["memo:{x}", "raw://t/{a}", "{+path}"]


def listed(resources: list[str], templates: list[str]) -> dict[str, Any]:
    return {
        "resources/list": {"resources": [{"uri": uri, "name": uri} for uri in resources]},
        "resources/templates/list": {
            "resourceTemplates": [{"uriTemplate": uri, "name": uri} for uri in templates]
        },
    }


def reads(*contents: dict[str, Any]) -> dict[str, Any]:
    return {"resources/read": {"contents": list(contents)}}


@contextlib.asynccontextmanager
async def house_of(
    folder: Path, clock: Clock, team: Team, answers: dict[str, Any], *more: str, mode: str = ""
) -> AsyncIterator[Upstreamed]:
    """With one upstream that gives these answers, connected."""
    (folder / "raw").mkdir(exist_ok=True)
    (folder / "raw" / "answers.json").write_text(json.dumps(answers))
    prefix = "" if "namespace = false" in more else "up_"
    entries = lambda raw, web: raw_entry("url", raw, web, *more)  # noqa: E731
    async with upstreamed(folder, clock, team, entries, policy=POLICY, mode=mode) as house:
        await until(lambda: house.echoes(prefix))
        yield house


async def asked_for(house: Upstreamed, uri: str) -> str:
    """The URI that the upstream was asked for, when somebody here reads `uri`."""
    answer = await house.caller().ask("resources/read", uri=uri)
    assert "result" in answer, answer
    last = json.loads(house.raw.read("record").splitlines()[-1])["message"]
    return str(last["params"]["uri"])


@pytest.mark.parametrize("mode", ["", "legacy"])
async def test_a_uri_without_slashes_is_served_with_the_namespace_in_it(
    tmp_path: Path, clock: Clock, team: Team, mode: str
) -> None:
    answers = listed(RESOURCES, TEMPLATES) | reads({"uri": "memo:one", "text": "x"})
    async with house_of(tmp_path, clock, team, answers, mode=mode) as house:
        assert {"memo:up/one", "urn:up/isbn:123", "raw://up/n"} <= await house.caller().names("resource")
        assert {"memo:up/{x}", "raw://up/t/{a}"} <= await house.caller().names("template")
        for here, there in (
            ("memo:up/one", "memo:one"),
            ("urn:up/isbn:123", "urn:isbn:123"),
            ("memo:up/zz", "memo:zz"),
            ("raw://up/t/1", "raw://t/1"),
        ):
            assert await asked_for(house, here) == there


async def test_without_a_namespace_it_is_served_as_it_is(tmp_path: Path, clock: Clock, team: Team) -> None:
    answers = listed(RESOURCES, TEMPLATES) | reads({"uri": "memo:one", "text": "x"})
    async with house_of(tmp_path, clock, team, answers, "namespace = false") as house:
        assert set(RESOURCES) <= await house.caller().names("resource")
        assert {"memo:{x}", "raw://t/{a}"} <= await house.caller().names("template")
        for uri in ("memo:one", "urn:isbn:123", "memo:zz", "raw://t/1"):
            assert await asked_for(house, uri) == uri


ODD = ["file:///srv/x.txt", "raw://a b", "RAW://Upper/Ü", "raw://a/../b", "http://Example.com", "memo:ä b"]
ODD_TEMPLATES = ["file:///{path}", "raw://Ü/😀/{x}"]


async def test_what_add_suggests_for_resources_opens_all_of_them_and_they_can_be_read(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    answers = listed(ODD, ODD_TEMPLATES) | reads({"uri": "raw://n", "text": "x"})
    async with house_of(tmp_path, clock, team, answers) as house:
        entry = Entry("up", Url("http://127.0.0.1"))
        found = listing(
            {
                "resources": [{"uri": one} for one in ODD],
                "templates": [{"uriTemplate": one} for one in ODD_TEMPLATES],
            }
        )
        rule = "[[rule]]\nany_person = true\nscopes = ['up:resources']\n"
        house.house.write_policy(f"version = 1\n{suggestion(entry, found)}{rule}")
        names = await house.caller().names("resource")
        assert len(names) == len(ODD)
        assert len(await house.caller().names("template")) == len(ODD_TEMPLATES)
        assert {await asked_for(house, name) for name in names} == set(ODD)


async def test_a_template_without_a_scheme_is_left_out_and_the_log_says_so_once(
    tmp_path: Path, clock: Clock, team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "brain.upstreams")

    def said() -> list[str]:
        return [one.message for one in caplog.records if "left out" in one.message]

    async with house_of(tmp_path, clock, team, listed(RESOURCES, TEMPLATES)) as house:
        assert not any("{+path}" in one for one in await house.caller().names("template"))
        assert said() == ["upstream up: templates left out, their names are taken or unusable: {+path}"]
        (house.raw.path / "answers.json").write_text(json.dumps(listed([*RESOURCES, "raw://m"], TEMPLATES)))
        house.house.house.upstreams()[0].look_again()

        async def is_new() -> bool:
            return "raw://up/m" in await house.caller().names("resource")

        await until(is_new)
        assert len(said()) == 1


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-2], VERSIONS[-1]])
async def test_each_part_of_what_is_read_is_as_it_was_under_its_uri_here(
    tmp_path: Path, clock: Clock, team: Team, version: str
) -> None:
    parts: list[dict[str, Any]] = [
        {"uri": "raw://t/two", "text": "1", "mimeType": "text/html", "_meta": {"k": {"n": None}}},
        {"uri": "raw://t/two/sub", "blob": "AAEC"},
        {"uri": "memo:one", "text": "2"},
        {"uri": "https://example.com/x", "text": "3"},
    ]
    async with house_of(tmp_path, clock, team, listed(RESOURCES, TEMPLATES) | reads(*parts)) as house:
        read = await house.caller(ALICE, version).ask("resources/read", uri="raw://up/t/two")
        here = ["raw://up/t/two", "raw://up/t/two/sub", "memo:up/one", "https://example.com/x"]
        assert read["result"]["contents"] == [
            {**part, "uri": uri} for part, uri in zip(parts, here, strict=True)
        ]


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
async def test_a_type_is_told_where_there_is_one(
    tmp_path: Path, clock: Clock, team: Team, version: str
) -> None:
    answers = listed(["raw://n", "raw://typed"], ["raw://t/{a}", "raw://typed/{a}"])
    for kind, part in (("resources/list", "resources"), ("resources/templates/list", "resourceTemplates")):
        answers[kind][part][1]["mimeType"] = "text/html"
    async with house_of(tmp_path, clock, team, answers) as house:
        caller = house.caller(ALICE, version)
        for kind, part in (
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
        ):
            told = [one for one in (await caller.ask(kind))["result"][part] if one["name"].startswith("raw:")]
            assert [one.get("mimeType") for one in told] == [None, "text/html"]


@pytest.mark.parametrize("version", [VERSIONS[-2], VERSIONS[-1]])
async def test_a_url_that_has_to_be_opened_first_reaches_whoever_reads(
    tmp_path: Path, clock: Clock, team: Team, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = {"mode": "url", "message": "Log in", "url": "https://example.com/login", "elicitationId": "1"}
    error = {"code": -32042, "message": "Log in first", "data": {"elicitations": [url]}}
    async with house_of(tmp_path, clock, team, listed(RESOURCES, []) | {"resources/read": error}) as house:
        answer = await house.caller(ALICE, version).ask("resources/read", uri="memo:up/one")
        assert answer["error"] == error
        assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("version", [VERSIONS[-2], VERSIONS[-1]])
async def test_a_link_leads_to_what_is_listed_and_an_address_for_everybody_stays(
    tmp_path: Path, clock: Clock, team: Team, version: str
) -> None:
    links = {
        "memo:one": "memo:up/one",
        "memo:zz": "memo:up/zz",
        "raw://elsewhere": "raw://up/elsewhere",
        "mailto:a@b": "mailto:a@b",
        "mailto:a@b?body=see%20raw://n": "mailto:a@b?body=see%20raw://n",
        "HTTPS://example.com/x": "HTTPS://example.com/x",
        "https://example.com/x": "https://example.com/x",
    }
    content: list[dict[str, Any]] = [{"type": "resource_link", "uri": uri, "name": "x"} for uri in links]
    content += [{"type": "resource", "resource": {"uri": uri, "text": "x"}} for uri in links]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "exact").write_text(json.dumps({"content": content}))
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "exact")]
    (tmp_path / "raw" / "tools.json").write_text(json.dumps(tools))
    web = "https://{host}/{page}"  # whose pages are not all its own
    async with house_of(tmp_path, clock, team, listed(RESOURCES, [*TEMPLATES, web])) as house:
        blocks = (await house.caller(ALICE, version).call("up_exact"))["result"]["content"]
        assert [one.get("uri") or one["resource"]["uri"] for one in blocks] == [*links.values()] * 2
