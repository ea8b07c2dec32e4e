"""A person at a browser: signs in where Access asks, reads the consent page, ticks, and sends the answer.

As a command, `python -m tests.interop.browser URL`, it is what a client opens instead of a browser:
BROWSER_PERSON signs in, and what was done goes to the end of the file BROWSER_LOG.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx2

READ = "mcp:tools:read"
MOST_PAGES = 12


@dataclass
class Page(HTMLParser):
    """The one form of a page: where it goes, what is in it, which boxes can be ticked."""

    method: str = ""
    action: str = ""
    hidden: dict[str, str] = field(default_factory=dict)
    boxes: list[str] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.method, self.action = given.get("method", "get"), given.get("action", "")
        elif tag == "input" and given.get("type") == "hidden":
            self.hidden[given["name"]] = given["value"]
        elif tag == "input" and given.get("type") == "checkbox":
            self.boxes.append(given["value"])
        elif tag == "button" and "name" in given:
            self.buttons.append((given["name"], given["value"]))


@dataclass
class Consent:
    """One answered question: what the page offered, and what was ticked."""

    offered: tuple[str, ...]
    ticked: tuple[str, ...]


@dataclass
class Person:
    """`email` signs in. The first time they let a client read and no more; asked again, they give all.

    `generous`: all of it the first time already.
    """

    email: str
    http: httpx2.AsyncClient = field(repr=False)
    logins: int = 0
    consents: list[Consent] = field(default_factory=list)
    log: Path | None = None
    generous: bool = False

    @classmethod
    @contextlib.asynccontextmanager
    async def at_a_browser(cls, email: str, *, proxied: bool = False) -> AsyncIterator[Person]:
        """`proxied`: on an internet that HTTPS_PROXY leads to."""
        headers = {"accept": "text/html,application/xhtml+xml", "user-agent": "Mozilla/5.0"}
        # The client's own little server may be a moment behind.
        transport = None if proxied else httpx2.AsyncHTTPTransport(retries=4)
        async with httpx2.AsyncClient(transport=transport, headers=headers, timeout=20) as http:
            yield cls(email, http)

    async def visit(self, url: str) -> httpx2.Response:
        """Opens `url` and does what the pages ask for; the last page. Raises AssertionError for an error."""
        answer = await self.http.get(url)
        for _ in range(MOST_PAGES):
            if answer.is_redirect:
                answer = await self.http.get(urljoin(str(answer.url), answer.headers["location"]))
                continue
            assert answer.status_code == 200, f"{answer.url.path}: {answer.status_code} {answer.text[:300]}"
            page = Page()
            page.feed(answer.text)
            if page.method != "post":
                return answer
            answer = await self._send(answer, page)
        raise AssertionError(f"no end of pages, the last is {answer.url}")

    async def _send(self, answer: httpx2.Response, page: Page) -> httpx2.Response:
        """As a browser sends a form; both forms have buttons with a value."""
        origin = f"{answer.url.scheme}://{answer.url.netloc.decode()}"
        headers = {"origin": origin, "sec-fetch-site": "same-origin"}
        target = urljoin(str(answer.url), page.action)
        if ("email", self.email) in page.buttons:
            self.logins += 1
            return await self.http.post(target, data={"email": self.email}, headers=headers)
        assert ("decision", "allow") in page.buttons, answer.text[:300]
        first = not self.consents
        ticked = tuple(box for box in page.boxes if box == READ or not first or self.generous)
        self.consents.append(Consent(tuple(page.boxes), ticked))
        if self.log is not None:  # before the answer: what opened this browser may end right after it
            with self.log.open("a") as file:
                file.write(json.dumps({"offered": page.boxes, "ticked": ticked}) + "\n")
        form = {**page.hidden, "scope": list(ticked), "decision": "allow"}
        return await self.http.post(target, data=form, headers=headers)


def remembered(log: Path) -> list[Consent]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [Consent(tuple(one["offered"]), tuple(one["ticked"])) for one in map(json.loads, lines)]


async def main(url: str) -> None:
    async with Person.at_a_browser(os.environ["BROWSER_PERSON"]) as person:
        person.log = Path(os.environ["BROWSER_LOG"])
        person.consents = remembered(person.log)
        await person.visit(url)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
