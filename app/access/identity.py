"""All groups of a person, asked from Access itself: an assertion holds a trimmed list at best.

Source: Cloudflare One, "Application token", user identity (`/cdn-cgi/access/get-identity`).

Nobody is let in or kept out here. What cannot be asked leaves the groups as the assertion has them and
`groups_complete` False. While the endpoint fails, nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2

from app.access.claims import MAX_IDENTITY, Identity, ascii_lower

log = logging.getLogger(__name__)

PATH = "/cdn-cgi/access/get-identity"
KEPT = 60.0  # seconds: how long an answer counts, from when it was asked for
REFRESH_AFTER = 30.0  # an answer older than this is asked for anew while it goes on counting
RETRY_AFTER = 10.0  # before a person whose look-up failed is asked about again
PROBE_EVERY = 5.0  # between two look-ups while the endpoint fails; nobody waits for them
FAILING_FOR = 60.0  # how long after its last failure the endpoint is taken to fail still
TIMEOUT = 2.0
MAX_BYTES = 256 * 1024
MAX_GROUPS = 2000
MAX_PEOPLE = 10_000


class Unusable(Exception):
    """An answer, but none that says anything about this person."""


class Down(Exception):
    """No answer, or one that says that there is none to be had now."""


class Groups(NamedTuple):
    """What an answer says. `complete`: these are all."""

    names: frozenset[str]
    complete: bool


@dataclass(slots=True)
class _Known:
    groups: Groups | None  # None: could not be had
    asked_at: float
    made: tuple[Identity, Identity] | None = None  # the last identity completed, and what became of it


class WholeIdentity:
    """Completes the groups of people. `wanted` says whether the policy in force names any group.

    One instance for the process; all methods on one event loop. `http` is for this alone: the certs must
    not wait behind slow look-ups.
    """

    def __init__(
        self,
        url: str,
        http: httpx2.AsyncClient,
        now: Callable[[], float],
        *,
        wanted: Callable[[], bool],
        timeout: float = TIMEOUT,
        size: int = MAX_PEOPLE,
    ) -> None:
        self._url, self._http, self._now, self._wanted = url, http, now, wanted
        self._timeout, self._size = timeout, size
        # By nonce and e-mail: an answer is never given to anybody but the one it was asked for.
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._failed_at = float("-inf")
        self._answered_at = float("-inf")  # when the newest look-up that got an answer began

    async def __call__(self, assertion: bytes, identity: Identity) -> Identity:
        """`identity`, which `assertion` proved, with all groups of the person where they can be known."""
        person, nonce = identity.principal, identity.nonce
        if person.kind != "person" or nonce is None or not self._wanted():
            return identity
        key = (nonce, person.id)
        known = self._recall(key)
        if known is None:
            task = self._ask(key, assertion)
            if task is not None and not self._failing():
                await asyncio.shield(task)
                known = self._known.get(key)
        elif known.groups is not None and self._age(known.asked_at) >= REFRESH_AFTER:
            self._ask(key, assertion)
        return identity if known is None else _completed(identity, known)

    async def close(self) -> None:
        """Gives up the look-ups under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _recall(self, key: tuple[str, str]) -> _Known | None:
        known = self._known.get(key)
        if known is None:
            return None
        if not 0 <= self._age(known.asked_at) < (RETRY_AFTER if known.groups is None else KEPT):
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return known

    def _age(self, then: float) -> float:
        return self._now() - then

    def _failing(self) -> bool:
        return 0 <= self._age(self._failed_at) < FAILING_FOR

    def _ask(self, key: tuple[str, str], assertion: bytes) -> asyncio.Task[None] | None:
        """The one look-up for `key`; None where the endpoint failed a moment ago."""
        if (asking := self._asking.get(key)) is not None:
            return asking
        if 0 <= self._age(self._failed_at) < PROBE_EVERY:
            return None
        if self._failing():
            self._failed_at = self._now()  # one probe, not one for each request until it has failed too
        task = asyncio.get_running_loop().create_task(self._look_up(key, assertion, self._now()))
        self._asking[key] = task
        return task

    async def _look_up(self, key: tuple[str, str], assertion: bytes, asked_at: float) -> None:
        groups = None
        try:
            groups = read(await self._download(assertion), email=key[1])
            self._answered(asked_at)
        except Unusable as problem:
            self._answered(asked_at)
            log.info("the groups of %s are not known: %s", key[1], problem)
        except Down as problem:
            self._failed(asked_at, problem)
        finally:
            del self._asking[key]
        # A failure does not end what is known before its time.
        kept = self._known.get(key)
        if groups is not None or kept is None or kept.groups is None:
            self._known[key] = _Known(groups, asked_at)
            self._known.move_to_end(key)
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def _answered(self, asked_at: float) -> None:
        self._answered_at = max(self._answered_at, asked_at)
        if self._failing():
            log.warning("%s answers again", self._url)
        self._failed_at = float("-inf")

    def _failed(self, asked_at: float, problem: Down) -> None:
        if self._answered_at > asked_at:
            return  # others were answered since: this one person's look-up is slow, not the endpoint
        if not self._failing():
            log.warning("%s: %s; groups are only those of the assertions meanwhile", self._url, problem)
        self._failed_at = self._now()

    async def _download(self, assertion: bytes) -> bytes:
        """The answer's body. What goes wrong is told by its type: a message could quote the cookie."""
        # Built by hand: the client would add the cookies that an earlier answer set, somebody else's.
        request = httpx2.Request("GET", self._url, headers={b"Cookie": b"CF_Authorization=" + assertion})
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._http.send(request, stream=True, follow_redirects=False)
                async with contextlib.aclosing(answer):
                    return await _body(answer)
        except (httpx2.HTTPError, TimeoutError) as problem:
            raise Down(type(problem).__name__) from None


async def _body(answer: httpx2.Response) -> bytes:
    if answer.status_code >= 500 or answer.status_code == 429:
        raise Down(f"HTTP {answer.status_code}")
    if answer.status_code != 200:
        raise Unusable(f"HTTP {answer.status_code}")
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise Unusable(f"more than {MAX_BYTES} bytes")
    return bytes(body)


def _completed(identity: Identity, known: _Known) -> Identity:
    """The same object for the same identity: whoever comes often costs nothing."""
    if known.groups is None:
        return identity
    if known.made is None or known.made[0] is not identity:
        names, complete = known.groups
        whole = replace(identity.principal, groups=names, groups_complete=complete)
        known.made = identity, replace(identity, principal=whole)
    return known.made[1]


def identity_url(certs_url: str) -> str:
    """Where the whole identity is: beside the certs. Whoever serves those could forge anybody anyway."""
    return urlsplit(certs_url)._replace(path=PATH, query="", fragment="").geturl()


def read(body: bytes, *, email: str) -> Groups:
    """The groups in a get-identity answer about `email`. Raises Unusable.

    An answer without any list of groups says nothing for certain, and takes the assertion's away: they may
    be left over from before.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise Unusable("not JSON") from None
    told = answer.get("email") if isinstance(answer, dict) else None
    if not isinstance(told, str) or ascii_lower(told) != email:
        raise Unusable("it is about somebody else, or nobody")
    # Groups of a generic OIDC or SAML identity provider come as its fields, untrimmed.
    places = [answer, answer.get("oidc_fields"), answer.get("saml_attributes")]
    lists = [place["groups"] for place in places if isinstance(place, dict) and _is_list(place.get("groups"))]
    groups = [group for listed in lists for group in listed]
    names = frozenset(name for group in groups[:MAX_GROUPS] for name in _names(group))
    return Groups(names, complete=bool(lists) and len(groups) <= MAX_GROUPS)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _names(group: object) -> Iterator[str]:
    """What a rule may call a group: its id, its e-mail, its name.

    Whoever may make groups may call one like another's address, so a name with an @ in it does not count.
    """
    if isinstance(group, str):
        yield from _usable(group)
    elif isinstance(group, dict):
        yield from _usable(group.get("id"))
        yield from _usable(group.get("email"))
        yield from (name for name in _usable(group.get("name")) if "@" not in name)


def _usable(name: object) -> Iterator[str]:
    if isinstance(name, str) and 0 < len(name) <= MAX_IDENTITY and name.isprintable():
        yield name
