"""What somebody does with the Brain, told once for every client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

WRITING = {"create_note", "update_note", "append_note", "delete_note", "restore_note"}
READING = {"search", "fetch", "list_notes", "list_tags", "list_spaces", "note_history", "whoami"}


@dataclass(frozen=True)
class Answer:
    """What a tool answered: text for the model, data for the program.

    `asked`: no, when the client refused to ask, because the server does not list such a tool.
    """

    error: bool
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    asked: bool = True


class Session(Protocol):
    """A connected client, whichever it is. `protocol`: the version it speaks, where it says so."""

    @property
    def protocol(self) -> str: ...

    async def tools(self) -> Sequence[str]: ...

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer: ...


async def ask(session: Session, tool: str, **arguments: Any) -> Mapping[str, Any]:
    """The data of a call that has to succeed."""
    answer = await session.call(tool, arguments)
    assert not answer.error, f"{tool}: {answer.text}"
    return answer.data


async def found(session: Session, query: str) -> list[str]:
    return [note["id"] for note in (await ask(session, "search", query=query))["results"]]


async def reads_and_writes(session: Session) -> None:
    """Everything with a note, from its making to its return from the dead."""
    assert set(await session.tools()) >= WRITING | READING
    await reads_what_was_imported(session)
    word = f"w{uuid4().hex}"
    note = await ask(session, "create_note", title=f"Träume – {word}", text="Eins\n\n“zwei” 🧠", tags=["a b"])
    assert note["version"] == 1
    assert await found(session, word) == [note["id"]]
    assert (await ask(session, "fetch", id=note["id"]))["text"] == "Eins\n\n“zwei” 🧠"

    changed = await ask(session, "update_note", id=note["id"], version=1, text=f"drei {word}")
    assert changed["version"] == 2
    late = await session.call("update_note", {"id": note["id"], "version": 1, "text": "lost"})
    assert late.error
    assert "its version is now 2" in late.text, late.text
    assert (await ask(session, "fetch", id=note["id"]))["text"] == f"drei {word}"

    assert (await ask(session, "delete_note", id=note["id"]))["deleted"]
    assert await found(session, word) == []
    assert (await session.call("fetch", {"id": note["id"]})).error
    assert not (await ask(session, "restore_note", id=note["id"]))["deleted"]
    assert await found(session, word) == [note["id"]]


async def only_reads(session: Session) -> None:
    """Somebody whom the policy lets read: writing is neither listed nor done."""
    listed = set(await session.tools())
    assert listed >= READING
    assert not listed & WRITING, listed & WRITING
    await reads_what_was_imported(session)
    word = f"w{uuid4().hex}"
    refused = await session.call("create_note", {"title": word, "text": word})
    assert refused.error
    assert not refused.asked or "not a tool that you may use" in refused.text, refused.text
    assert await found(session, word) == []


async def reads_what_was_imported(session: Session) -> None:
    [dough] = await found(session, '"sour dough" rye')
    note = await ask(session, "fetch", id=dough)
    assert note["title"] == "Sour dough"
    assert note["metadata"]["tags"] == ["baking"]
    assert [link["title"] for link in note["metadata"]["links"]] == ["Rye flour"]
