"""Whatever is made from the OpenAPI document, in its sense or against it, is answered as the document says.

`FUZZ=3000 pytest tests/oauth/test_fuzz_described.py` tries so many of each operation.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from tests.house import PUBLIC

from . import flow
from .described import CHECKS, named, operations
from .desk import CALLBACK, CHALLENGE, VERIFIER, fields
from .flow import Browser
from .target import Target

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPERATIONS = operations()
TRIES = int(os.environ.get("FUZZ", "20"))
IN_PERSON = ("/authorize", "/consent", "/healthz")
ASSERTION = "Cf-Access-Jwt-Assertion"
# What is right here and now; the rest is what the target has.
RIGHT: dict[str, Any] = {
    "code_verifier": VERIFIER,
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "redirect_uri": CALLBACK,
    "redirect_uris": [CALLBACK],
    "resource": f"{PUBLIC}/mcp",
    "scope": flow.READ,
    "grant_type": "authorization_code",
}
FROM_TARGET = ("client_id", "client_secret", "code", "refresh_token", "token", "request")
NAMES = frozenset({*RIGHT, *FROM_TARGET})
OF_OTHERS = frozenset({"client_secret", "client_assertion", "client_assertion_type"})


def takes_something(operation: Any) -> bool:
    return bool(named(operation.path, operation.method))


some = settings(
    deadline=None,
    derandomize=True,
    max_examples=TRIES,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
modes = st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
rights = st.one_of(st.just(NAMES), st.sets(st.sampled_from(sorted(NAMES))), st.just(frozenset[str]()))
callers = st.sampled_from([flow.ALICE, flow.BOB, None])


@pytest.mark.parametrize("label", [label for label, one in OPERATIONS.items() if takes_something(one)])
@some
@given(data=st.data())
async def test_C10_every_answer_is_as_described(target: Target, label: str, data: st.DataObject) -> None:
    await answered_as_described(target, OPERATIONS[label], data)


@some
@given(data=st.data())
async def test_C10_so_is_that_where_nothing_is_asked_but_the_path(
    target: Target, data: st.DataObject
) -> None:
    plain = [label for label, one in OPERATIONS.items() if not takes_something(one)]
    await answered_as_described(target, OPERATIONS[data.draw(st.sampled_from(plain))], data)


async def answered_as_described(target: Target, operation: Any, data: st.DataObject) -> None:
    case: Case[Any] = data.draw(operation.as_strategy(generation_mode=data.draw(modes)))
    who = data.draw(callers) if operation.path in IN_PERSON else None
    await make_right(case, data.draw(rights), target, who)
    sent = requests.Request(**case.as_transport_kwargs(base_url=PUBLIC)).prepare()
    headers = [(name.lower().encode(), latin(value)) for name, value in sent.headers.items()]
    assert isinstance(sent.body, str | bytes | None)
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    reply = await target.holds(case.method, sent.path_url, headers, body or b"")
    event(f"{reply.status_code}")
    case.validate_response(reply, checks=CHECKS)


async def make_right(case: Case[Any], names: Collection[str], target: Target, who: str | None) -> None:
    """The parameters of these names as they must be here, the assertion of `who`, and a question for them."""
    await target.renew()
    own = target.asker if case.path == "/introspect" else {"client_id": target.client}
    live = {**target.values, **own}
    if who is not None:
        browser = Browser(target.house, who)
        case.headers[ASSERTION] = target.house.team.token(who)
        if case.path == "/consent" and "request" in names:
            page = await flow.ask(browser, {"client_id": target.client}, prompt="consent")
            live["request"] = fields(page)["request"]
            cookie, _, value = browser.cookie.partition("=")
            case.cookies[cookie] = value
    declared = named(case.path, case.method)
    known = {name: value for name, value in {**RIGHT, **live}.items() if name in declared & set(names)}
    for there in (case.query, case.body):
        if isinstance(there, dict) and there:
            there.update(known)
            for name in OF_OTHERS.difference(own) if "client_id" in known else ():
                there.pop(name, None)


def latin(value: str | bytes) -> bytes:
    return value.encode("latin-1") if isinstance(value, str) else value
