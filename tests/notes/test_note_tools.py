"""The note tools as an MCP client sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from mcp_types import ResourceTemplateReference

from app.notes.ids import uuid7
from app.notes.models import Caller, Spaces
from app.notes.tools import register
from app.store.open import open_store

ALICE = Caller("alice@example.com", "~alice@example.com", Spaces(names=frozenset({"main", "~"})))
TOOLS = "search fetch list_notes list_tags list_spaces note_history create_note update_note append_note"


@pytest.fixture
async def brain(tmp_path: Path) -> AsyncIterator[Client[Any]]:
    ids = count()
    store = await open_store(
        tmp_path / "brain.db", now=lambda: 1_700_000_000.5, new_id=lambda: uuid7(next(ids), bytes(10))
    )
    mcp = FastMCP("brain", mask_error_details=True)
    register(mcp, store.notes, lambda: ALICE, "http://localhost")
    async with Client(mcp) as client:
        yield client
    await store.close()


async def call(brain: Client[Any], tool: str, **arguments: object) -> dict[str, Any]:
    result = await brain.call_tool(tool, arguments)
    assert result.structured_content is not None
    return result.structured_content


async def refusal(brain: Client[Any], tool: str, **arguments: object) -> str:
    result = await brain.call_tool(tool, arguments, raise_on_error=False)
    assert result.is_error
    return str(getattr(result.content[0], "text", ""))


async def test_every_tool_is_described_to_the_last_parameter(brain: Client[Any]) -> None:
    tools = {tool.name: tool for tool in await brain.list_tools()}
    assert list(tools) == [*TOOLS.split(), "delete_note", "restore_note"]
    for tool in tools.values():
        assert tool.title
        assert tool.description
        assert tool.output_schema
        assert tool.annotations
        assert tool.annotations.open_world_hint is False
        assert all(prop["description"] for prop in tool.input_schema["properties"].values()), tool.name
    reading = [name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint]
    assert reading == TOOLS.split()[:6]


async def test_a_note_is_written_found_and_fetched(brain: Client[Any]) -> None:
    made = await call(brain, "create_note", title="Plan", text="See [[Other]].", tags=["#Work"], space="~")
    await call(brain, "create_note", title="Other", text="leads to [[plan]]")
    (hit,) = (await call(brain, "search", query="leads"))["results"]
    assert set(hit) == {"id", "title", "url", "snippet", "space", "tags", "updated_at", "score"}
    fetched = await call(brain, "fetch", id=made["id"])
    assert {key: fetched[key] for key in ("title", "text", "url")} == {
        "title": "Plan",
        "text": "See [[Other]].",
        "url": f"note://{made['id']}",
    }
    assert fetched["metadata"] == {
        "space": "~",
        "tags": ["Work"],
        "version": 1,
        "created_at": "2023-11-14T22:13:20.500Z",
        "updated_at": "2023-11-14T22:13:20.500Z",
        "links": [{"id": hit["id"], "title": "Other", "url": f"note://{hit['id']}"}],
        "backlinks": [{"id": hit["id"], "title": "Other", "url": f"note://{hit['id']}"}],
    }


async def test_a_conflict_names_the_current_version_and_what_to_do(brain: Client[Any]) -> None:
    made = await call(brain, "create_note", title="T", text="a")
    await call(brain, "append_note", id=made["id"], text="b")
    sentence = await refusal(brain, "update_note", id=made["id"], version=1, text="c")
    assert "its version is now 2. Fetch it again" in sentence
    assert (await call(brain, "fetch", id=made["id"]))["text"] == "a\nb"


async def test_refusals_reach_the_model_as_sentences(brain: Client[Any]) -> None:
    assert await refusal(brain, "search", query="x", limit=51) == "The limit is 51. Use 1 to 50."
    assert "search and list_notes give ids" in await refusal(brain, "fetch", id="7")
    assert "not open to you" in await refusal(brain, "create_note", title="T", text="", space="hr")
    assert "Start again without a cursor" in await refusal(brain, "list_notes", cursor="x")


async def test_a_deleted_note_can_be_brought_back(brain: Client[Any]) -> None:
    made = await call(brain, "create_note", title="T", text="a")
    assert (await call(brain, "delete_note", id=made["id"]))["deleted"]
    assert "restore_note" in await refusal(brain, "fetch", id=made["id"])
    assert not (await call(brain, "restore_note", id=made["id"]))["deleted"]
    history = await call(brain, "note_history", id=made["id"])
    assert [past["action"] for past in history["revisions"]] == ["restore", "delete", "create"]


async def test_lists_name_tags_and_spaces_with_their_numbers(brain: Client[Any]) -> None:
    await call(brain, "create_note", title="T", text="", tags=["a"], space="~")
    assert await call(brain, "list_tags") == {"tags": [{"name": "a", "notes": 1}]}
    assert (await call(brain, "list_spaces"))["spaces"] == [
        {"name": "main", "notes": 0},
        {"name": "~", "notes": 1},
    ]
    (listed,) = (await call(brain, "list_notes", tag="A", order="title"))["notes"]
    assert (listed["title"], listed["version"]) == ("T", 1)


async def test_a_note_is_a_resource_and_so_is_each_revision(brain: Client[Any]) -> None:
    made = await call(brain, "create_note", title="T", text="old")
    await call(brain, "update_note", id=made["id"], version=1, text="new")
    for uri, text in ((made["url"], "new"), (f"{made['url']}/revisions/1", "old")):
        (content,) = await brain.read_resource(uri)
        assert (content.mime_type, getattr(content, "text", "")) == ("text/markdown", text)


async def test_ids_are_completed_by_their_beginning_or_the_title(brain: Client[Any]) -> None:
    made = await call(brain, "create_note", title="Garden", text="x")
    note = ResourceTemplateReference(type="ref/resource", uri="note://{id}")
    for begun in ("", made["id"][:9], "gard"):
        assert (await brain.complete(note, {"name": "id", "value": begun})).values == [made["id"]]
    assert (await brain.complete(note, {"name": "id", "value": "else"})).values == []
