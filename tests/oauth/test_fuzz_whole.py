"""Whatever is sent to a whole house: never a 5xx, never a hang, and what was refused has changed nothing."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.house import PUBLIC

from . import flow
from .desk import CALLBACK, CHALLENGE, VERIFIER
from .target import Target

pytestmark = pytest.mark.asyncio(loop_scope="module")
few = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

odd = st.one_of(st.text(max_size=30), st.sampled_from(["", "\x00", "ä", "\ud7ff", "a" * 3000, "1e999", "-1"]))
right = {
    "client_id": st.just("$client_id"),
    "client_secret": odd,
    "grant_type": st.sampled_from(["authorization_code", "refresh_token", "client_credentials", "password"]),
    "code": st.just("$code"),
    "code_verifier": st.sampled_from([VERIFIER, "w" * 43, "short"]),
    "redirect_uri": st.sampled_from([CALLBACK, f"{CALLBACK}/", "http://127.0.0.1:1/callback"]),
    "refresh_token": st.just("$refresh_token"),
    "token": st.sampled_from(["$token", "$refresh_token", "$code"]),
    "scope": st.sampled_from(["mcp:tools:read", "brain:admin", 'a"b', "*"]),
    "resource": st.sampled_from([f"{PUBLIC}/mcp", "https://evil.example/mcp", "mcp"]),
    "response_type": st.sampled_from(["code", "token"]),
    "code_challenge": st.sampled_from([CHALLENGE, "short"]),
    "code_challenge_method": st.sampled_from(["S256", "plain"]),
    "state": odd,
    "prompt": st.sampled_from(["none", "consent", "x"]),
    "request": odd,
    "decision": st.sampled_from(["allow", "deny", "x"]),
    "client_assertion": odd,
    "client_assertion_type": odd,
}
pairs = st.one_of(
    *(st.tuples(st.just(name), values) for name, values in right.items()),
    st.tuples(st.sampled_from([*right]), odd),
    st.tuples(odd, odd),
)
forms = st.lists(pairs, max_size=9)
# Near misses: a whole request of each grant, in which one thing is replaced or added.
whole = st.sampled_from(
    [
        ["grant_type=authorization_code", "code=$code", f"code_verifier={VERIFIER}"],
        ["grant_type=refresh_token", "refresh_token=$refresh_token"],
        ["token=$refresh_token"],
    ]
)


async def filled(form: list[tuple[str, str]], target: Target) -> bytes:
    await target.renew()
    known = {"$client_id": target.client} | {f"${name}": value for name, value in target.values.items()}
    return urlencode([(name, known.get(value, value)) for name, value in form], errors="replace").encode()


@few
@given(form=forms, path=st.sampled_from(["/token", "/revoke", "/introspect", "/register"]))
async def test_C10_no_form_brings_a_failure_or_changes_what_it_may_not(
    target: Target, form: list[tuple[str, str]], path: str
) -> None:
    named = [(b"content-type", b"application/x-www-form-urlencoded")]
    await target.holds("POST", path, named, await filled(form, target))


@few
@given(start=whole, form=st.lists(pairs, min_size=1, max_size=2), path=st.sampled_from(["/token", "/revoke"]))
async def test_C10_nor_does_one_wrong_thing_in_a_good_form(
    target: Target, start: list[str], form: list[tuple[str, str]], path: str
) -> None:
    changed = {name for name, _ in form}
    kept = [one.partition("=") for one in [*start, "client_id=$client_id"]]
    rest = [(name, value) for name, _, value in kept if name not in changed]
    named = [(b"content-type", b"application/x-www-form-urlencoded")]
    await target.holds("POST", path, named, await filled([*rest, *form], target))


@few
@given(form=forms, path=st.sampled_from(["/authorize", "/consent"]), post=st.booleans())
async def test_C10_no_question_of_a_signed_in_person_brings_a_failure(
    target: Target, form: list[tuple[str, str]], path: str, post: bool
) -> None:
    text = await filled(form, target)
    headers = [(b"cf-access-jwt-assertion", target.house.team.token().encode())]
    if post:
        headers += [(b"content-type", b"application/x-www-form-urlencoded"), (b"origin", PUBLIC.encode())]
        await target.holds("POST", path, headers, text)
    else:
        await target.holds("GET", f"{path}?{text.decode()}", headers)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), odd),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(odd, inner, max_size=3)),
    max_leaves=6,
)
uris = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "javascript:", "cursor://", "com.example:", "//", ""]),
    st.sampled_from(
        ["client.example", "localhost", "127.0.0.1", "[::1]", "[", "ä.example", "u:p@h.example", "*"]
    ),
    st.sampled_from(["", ":1", ":x", ":999999999999", "/cb", "/../cb", "/%00", "/\\", "#f", "?a=b"]),
    odd,
)
members = st.sampled_from(
    [
        "grant_types",
        "response_types",
        "token_endpoint_auth_method",
        "client_name",
        "scope",
        "jwks",
        "client_uri",
    ]
)
bodies = st.one_of(
    values,
    st.builds(
        lambda addresses, others: {"redirect_uris": addresses, **others},
        st.one_of(st.lists(st.one_of(uris, st.just(CALLBACK)), max_size=3), values),
        st.dictionaries(members, values, max_size=3),
    ),
)


@few
@given(body=bodies)
async def test_C10_no_json_brings_a_failure_at_registration(target: Target, body: Any) -> None:
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    await target.holds("POST", "/register", [(b"content-type", b"application/json")], text)


printable = st.binary(max_size=60).map(
    lambda raw: bytes(one for one in raw if one >= 32 and one != 127).strip()
)
segments = st.one_of(
    st.binary(max_size=40).map(lambda raw: urlsafe_b64encode(raw).rstrip(b"=")),
    values.map(lambda value: urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")),
    st.just(urlsafe_b64encode(b'{"typ":"at+jwt","alg":"none"}').rstrip(b"=")),
)
authorizations = st.one_of(
    printable,
    st.lists(segments, min_size=1, max_size=5).map(lambda parts: b"Bearer " + b".".join(parts)),
    printable.map(lambda raw: b"Bearer " + (raw or b"x")),
    st.binary(max_size=30).map(lambda raw: b"Basic " + b64encode(raw)),
)


@few
@given(value=authorizations, path=st.sampled_from(["/mcp", "/mcp/", "/token", "/revoke", "/introspect"]))
async def test_M11_N4_no_authorization_header_brings_a_failure(
    target: Target, value: bytes, path: str
) -> None:
    headers = [(b"authorization", value.strip()), (b"content-type", b"application/x-www-form-urlencoded")]
    await target.holds("POST", path, headers, b"grant_type=client_credentials")


@few
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
async def test_M11_a_token_in_which_one_bit_is_another_is_none(
    target: Target, at: float, bit: int, cut: bool
) -> None:
    await target.renew()
    good = target.values["token"].encode()
    place = int(at * len(good))
    other = good[:place] if cut else good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :]
    if not other or any(one < 33 or one > 126 for one in other):
        return
    before = flow.state_of(target.house)
    reply = await flow.call(target.house, other.decode())
    # The last characters of base64 have bits that say nothing: nothing but the very same bytes is good.
    assert reply.status_code in (400, 401), reply.text
    assert flow.state_of(target.house) == before
