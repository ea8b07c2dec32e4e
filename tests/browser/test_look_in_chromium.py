"""What the pages look like and how they are used without a mouse, as Chromium draws them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Page

from tests.house import PUBLIC

from .chromium import MISSING, find
from .conftest import Arrive
from .visitor import ALICE, Visitor

if find() is None:
    pytest.skip(MISSING, allow_module_level=True)
pytestmark = pytest.mark.asyncio(loop_scope="session")
LOOK = (Path(__file__).parent / "look.js").read_text()
NARROW = {"width": 360, "height": 740}
CONTRAST, LINE_CONTRAST = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
PAGES = ("login", "consent", "refusal", "home")
MOST_STOPS = 100
SCOPES = (
    "Read: tools that only read, resources and prompts",
    "Write: all other tools; includes reading",
    "Delete and restore notes",
)
Scheme = Literal["light", "dark"]


async def tour(visitor: Visitor) -> AsyncIterator[str]:
    """Through every kind of page; the name of the one that is open."""
    page = visitor.page
    await page.goto(visitor.client.authorize_url())
    yield "login"
    await visitor.sign_in(ALICE)
    await page.get_by_role("button", name="Allow").wait_for()
    yield "consent"
    await visitor.decide()
    await visitor.answer()
    await page.goto(f"{PUBLIC}/consent?request=none")
    yield "refusal"
    await page.goto(f"{PUBLIC}/")
    await page.get_by_role("button", name="Revoke Claude").wait_for()
    yield "home"


async def look(page: Page, what: str) -> Any:
    return await page.evaluate(f"{LOOK}.{what}()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_its_background(arrive: Arrive, scheme: Scheme) -> None:
    visitor = await arrive(color_scheme=scheme)
    grounds = set()
    async for name in tour(visitor):
        await look(visitor.page, "open")
        texts = await look(visitor.page, "texts")
        assert len(texts) > 5, name
        assert not [one for one in texts if one["ratio"] < CONTRAST], name
        grounds.add(await visitor.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert len(grounds) == 1
    [red, *_] = map(int, grounds.pop().removeprefix("rgb(").rstrip(")").split(","))
    assert (red > 128) == (scheme == "light")


async def test_no_page_is_wider_than_a_small_phone(arrive: Arrive) -> None:
    visitor = await arrive(viewport=NARROW)
    async for name in tour(visitor):
        await look(visitor.page, "open")
        assert await look(visitor.page, "width") == {"page": 360, "wide": []}, name
        assert await look(visitor.page, "small") == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_tab_key_reaches_everything_and_one_sees_where_it_is(
    arrive: Arrive, scheme: Scheme
) -> None:
    visitor = await arrive(color_scheme=scheme)
    async for name in tour(visitor):
        reached = set()
        for _ in range(MOST_STOPS):
            await visitor.page.keyboard.press("Tab")
            focus = await look(visitor.page, "focus")
            if focus is None:
                break
            reached.add(focus["number"])
            assert (focus["line"], focus["within"]) == ("solid", True), focus
            assert focus["width"] >= 2, focus
            assert focus["ratio"] >= LINE_CONTRAST, focus
        assert reached - {-1} == set(range(await look(visitor.page, "reachable"))), name


async def test_every_page_has_a_language_a_title_and_headings_in_their_order(arrive: Arrive) -> None:
    visitor = await arrive()
    titles = {}
    async for name in tour(visitor):
        first, *more = levels = await look(visitor.page, "headings")
        assert (first, more.count(1)) == (1, 0), name
        assert all(after <= before + 1 for before, after in zip(levels, more, strict=False)), (name, levels)
        assert await visitor.page.get_by_role("main").count() == 1
        assert await look(visitor.page, "language") == "en"
        titles[name] = await visitor.page.title()
    assert tuple(titles) == PAGES
    assert len(set(titles.values())) == len(titles), titles


async def test_the_question_can_be_heard(visitor: Visitor) -> None:
    """The names that a screen reader says, in the order in which it comes to them."""
    await visitor.ask()
    group = visitor.page.get_by_role("group", name="What it may do")
    boxes = [await box.get_attribute("id") for box in await group.get_by_role("checkbox", checked=True).all()]
    named = [
        await group.get_by_role("checkbox", name=name, exact=True).get_attribute("id") for name in SCOPES
    ]
    assert named == boxes
    buttons = visitor.page.get_by_role("button")
    assert [await button.inner_text() for button in await buttons.all()] == ["Deny", "Allow"]
    heading = visitor.page.get_by_role("heading", level=1)
    assert (
        await heading.inner_text()
        == f"A program that calls itself “Claude” wants to use your Brain as {ALICE}"
    )
