"""Templates of an upstream: which can be used, what fits them, and that no URI and no template takes long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fastmcp.resources.template import match_uri_template
from hypothesis import assume, given
from hypothesis import strategies as st

from app.simulator import Team
from app.upstreams.listing import listing, nameless
from app.upstreams.templates import (
    LONGEST_TEMPLATE,
    LONGEST_URI,
    MOST_EXPRESSIONS,
    Beginnings,
    Shape,
    normal,
    usable,
)
from tests.gate.wire import VERSIONS
from tests.house import Clock

from .conftest import ALICE
from .test_resources import house_of, listed, reads

HONEST = [
    "note://{id}/revisions/{version}",
    "docs://{path*}/raw",
    "file:///{+path}",
    "search://{where}{?q,limit}",
    "search://{where}{?q}{&limit}",
    "log:{year}-{month}-{day}.{kind}",
    "find://all?q={q}&page={page}",
]
SLOW = [
    "docs://{a}{b}/raw",
    "docs://{a}{?q}{b}/raw",
    "docs://{path*}/rev/{sub*}/raw",
    "docs://{+path}/rev/{sub*}",
    "docs:" + "/".join(f"{{a{n}}}" for n in range(MOST_EXPRESSIONS + 1)),
    "docs:{a}".ljust(LONGEST_TEMPLATE + 1, "x"),
]


def fits(template: str, uri: str) -> bool:
    return Shape(template).fits(normal(uri))


@pytest.mark.parametrize("template", HONEST)
def test_an_ordinary_template_is_served(template: str) -> None:
    found = {"templates": [{"uriTemplate": template}]}
    assert list(listing(found).templates) == [template]
    assert nameless(found) == ()


@pytest.mark.parametrize("template", SLOW)
def test_a_template_that_could_be_looked_up_in_too_many_ways_is_left_out_and_named(template: str) -> None:
    found = {"templates": [{"uriTemplate": template}, {"uriTemplate": "good:{a}"}]}
    assert list(listing(found).templates) == ["good:{a}"]
    assert nameless(found) == (repr(template[:80]),)


def test_a_resource_that_is_too_long_to_be_asked_for_is_not_listed() -> None:
    found = {"resources": [{"uri": "a:" + "x" * LONGEST_URI}, {"uri": "a:b"}]}
    assert list(listing(found).resources) == ["a:b"]


literals = st.text("ab/.-", max_size=3)
expressions = st.sampled_from(["{}", "{}", "{}", "{*}"])


@st.composite
def templates(draw: st.DrawFn) -> str:
    parts = [f"m:{draw(literals)}"]
    for number in range(draw(st.integers(0, 4))):
        parts += [draw(expressions).replace("{", f"{{v{number}"), draw(literals)]
    return "".join(parts) + draw(st.sampled_from(["", "{?q}"]))


@given(templates(), st.text("ab/.-", max_size=14), st.sampled_from(["", "?q=1", "#top"]))
def test_the_same_uris_fit_as_fastmcp_says(template: str, rest: str, end: str) -> None:
    assume(usable(template))
    uri = f"m:{rest}{end}"
    assert fits(template, uri) == (match_uri_template(uri, template) is not None)


@pytest.mark.parametrize(
    ("template", "uri", "does"),
    [
        ("raw://Ü/{x}", "raw://%C3%9C/1", True),
        ("raw://%c3%9c/{x}", "raw://Ü/1", True),
        ("raw://a b/{x}", "raw://a%20b/1", True),
        ("find://all?q={q}&page={page}", "find://all?q=&page=a/b", True),
        ("find://all?q={q}&page={page}", "find://all?q=1", False),
        ("find://all", "find://all", True),
        ("find://all", "find://all/more", False),
        ("m:{a}#{b}", "m:1#2", True),
        ("m:{a}", "m:\ud800", True),
    ],
)
def test_a_literal_fits_as_it_is_and_encoded_and_a_query_that_is_written_out(
    template: str, uri: str, does: bool
) -> None:
    assert fits(template, uri) is does


async def test_no_uri_holds_up_many_templates_for_long() -> None:
    """A regular expression would need years for some of them."""
    many = "".join(f"{{v{n}}}x" for n in range(MOST_EXPRESSIONS))
    shapes = [Shape(f"m:{template}!") for template in (many, "{a*}-{b}", "{a}-{b}", "{a}/{b*}/{c}/x")] * 500
    async with asyncio.timeout(2):
        for uri in ("m:" + "x" * 2046, "m:" + "-" * 2046, "m:" + "/x" * 1023, "m:x" + "x-/" * 681):
            assert not any(shape.fits(uri) for shape in shapes)
            await asyncio.sleep(0)  # where the timeout counts


@pytest.mark.parametrize(
    ("templates", "uri", "does"),
    [
        (["memo:{x}"], "memo:one", True),
        (["memo:one/{x}", "memo:{x}"], "memo:two", True),
        (["memo:a/{x}", "memo:a/b/{x}", "memo:b{x}"], "memo:a/c", True),
        (["memo:a/{x}", "memo:c/{x}"], "memo:b/1", False),
        (["memo:all"], "mem", False),
        (["https://example.com/api/{n}"], "https://example.com/api/7", True),
        (["https://example.com/api/{n}"], "https://example.com/page", False),
        (["https://{host}/{page}", "HTTP:{x}", "http:/{x}"], "https://example.com/page", False),
        (["https://{host}/{page}", "https://a/{page}"], "https://a/page", True),
        ([], "memo:one", False),
    ],
)
def test_a_uri_is_of_a_template_that_begins_like_it(templates: list[str], uri: str, does: bool) -> None:
    assert Beginnings(templates).fit(uri) is does


async def test_as_many_links_as_fit_into_a_result_are_compared_with_all_templates_in_no_time() -> None:
    beginnings = Beginnings(f"m:{n}{{a}}" for n in range(2000))
    async with asyncio.timeout(2):
        assert not any(beginnings.fit("m:x") for _ in range(90_000))
        await asyncio.sleep(0)  # where the timeout counts


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
async def test_a_uri_that_is_too_long_is_looked_for_nowhere_and_answers_like_one_that_is_not_there(
    tmp_path: Path, clock: Clock, team: Team, version: str
) -> None:
    answers = listed([], ["memo:{x}"]) | reads({"uri": "memo:one", "text": "x"})
    async with house_of(tmp_path, clock, team, answers) as house:
        caller = house.caller(ALICE, version)
        longest = "memo:up/".ljust(LONGEST_URI, "x")
        assert "result" in await caller.ask("resources/read", uri=longest)
        asked = house.raw.read("record").count("resources/read")
        long, missing = f"{longest}x", "omem:up/one"
        answer, other = [await caller.ask("resources/read", uri=uri) for uri in (long, missing)]
        assert answer["error"]["message"].replace(long, missing) == other["error"]["message"]
        assert answer["error"]["code"] == other["error"]["code"]
        assert house.raw.read("record").count("resources/read") == asked
        completed = [
            await caller.complete({"type": "ref/resource", "uri": uri}, "x") for uri in (long, missing)
        ]
        assert completed[0] == completed[1]
