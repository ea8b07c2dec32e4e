"""JSON-RPC that is none, at both doors and in both eras: refused, never a 5xx, nothing carried out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.house import TestHouse

from .raw import message
from .test_tunnel_isolation import META

pytestmark = pytest.mark.asyncio(loop_scope="module")

quick = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
DEEP = 100_000
AWKWARD = {
    "nothing": b"",
    "a number": b"1",
    "null": b"null",
    "text": b'"tools/list"',
    "an empty batch": b"[]",
    "a batch": b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]',
    "not UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}',
    "UTF-16": '{"jsonrpc":"2.0","id":1,"method":"ping"}'.encode("utf-16"),
    "half a message": b'{"jsonrpc":"2.0","id":1,"me',
    "two messages": b'{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}',
    "lists without end": b"[" * DEEP,
    "objects without end": b'{"a":' * DEEP,
    "deep and closed": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":%b1%b}'
    % (b'{"a":' * 5000, b"}" * 5000),
    "an id of five thousand digits": b'{"jsonrpc":"2.0","id":%b,"method":"ping"}' % (b"9" * 5000),
    "another version": b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
    "no version": b'{"id":1,"method":"ping"}',
    "a method that is a number": b'{"jsonrpc":"2.0","id":1,"method":1}',
    "NUL bytes": b"\x00" * 1000,
}
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 2**64, 1e308])
scalars = (
    st.none() | st.booleans() | numbers | st.text(max_size=20) | st.sampled_from(["\ud800", "\x00", "'--"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
methods = st.sampled_from(
    [
        "initialize",
        "ping",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
        "notifications/initialized",
        "notifications/cancelled",
        "server/discover",
        "tasks/get",
        "",
    ]
)
tools = st.sampled_from(
    [
        "search",
        "fetch",
        "create_note",
        "update_note",
        "append_note",
        "delete_note",
        "list_notes",
        "note_history",
        "x",
    ]
)
arguments = st.dictionaries(
    st.sampled_from(["query", "id", "title", "text", "tags", "space", "limit", "cursor", "version", "order"]),
    values,
    max_size=5,
)
calls = st.builds(lambda name, given: {"name": name, "arguments": given}, tools, arguments)
params = calls | st.dictionaries(
    st.sampled_from(["name", "uri", "cursor", "ref", "argument", "level", "arguments", "requestId", "_meta"]),
    values,
)


async def answers(house: TestHouse, door: str, body: bytes, **headers: str) -> int:
    sent = {**HEADERS, **headers}
    if door == "lan":
        return (await house.lan_request("POST", "/mcp", content=body, headers=sent)).status_code
    token = house.team.session("alice@example.com", house.team.token)
    answer = await house.tunnel_request("POST", "/mcp", content=body, headers=sent, token=token)
    return answer.status_code


@pytest.mark.parametrize("door", ["lan", "tunnel"])
async def test_what_is_no_message_is_a_4xx_in_every_era(standing: TestHouse, door: str) -> None:
    for name, body in AWKWARD.items():
        for version in ("2025-06-18", "2025-11-25", "2026-07-28"):
            status = await answers(standing, door, body, **{"Mcp-Protocol-Version": version})
            assert (name, version, status // 100) == (name, version, 4)
    assert (await standing.lan_request()).status_code == 200


@pytest.mark.parametrize("identity", [b"[1]", b"{}", b"NaN", b"1e999", b"null", b"1.5", b"true"])
async def test_a_call_that_no_answer_could_name_is_not_carried_out(
    standing: TestHouse, identity: bytes
) -> None:
    call = message("tools/call", name="create_note", arguments={"title": "Unasked", "text": "x"})
    for version in ("2025-11-25", "2026-07-28"):
        status = await answers(
            standing,
            "lan",
            call.replace(b'"id": 1', b'"id": ' + identity),
            **{"Mcp-Protocol-Version": version},
        )
        assert status in (202, 400)
    listed = message("tools/call", name="list_notes", arguments={})
    assert "Unasked" not in (await standing.lan_request("POST", "/mcp", content=listed, headers=HEADERS)).text


@pytest.mark.parametrize("door", ["lan", "tunnel"])
@quick
@given(body=st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()))
async def test_any_body_that_is_no_message_is_a_4xx(standing: TestHouse, door: str, body: bytes) -> None:
    assert await answers(standing, door, body) // 100 == 4


@quick
@given(method=methods, params=params, identity=st.integers() | st.text(max_size=8) | numbers)
async def test_any_params_of_any_method_are_never_a_5xx(
    standing: TestHouse, caplog: pytest.LogCaptureFixture, method: str, params: dict[str, Any], identity: Any
) -> None:
    asked = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
    assert await answers(standing, "tunnel", as_json(asked)) < 500
    modern = {**asked, "params": {**params, "_meta": META}}
    era = {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if (
        isinstance(named := params.get("name", params.get("uri")), str)
        and named.isascii()
        and named.isprintable()
    ):
        era["Mcp-Name"] = named
    assert await answers(standing, "tunnel", as_json(modern), **era) < 500
    assert [record for record in caplog.records if "ASGI" in record.getMessage()] == []


def as_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()
