"""The Brain's MCP tools: thin, typed, described for a model. Who may call them is the gate's matter."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, ParamSpec, TypeVar

from fastmcp import FastMCP
from fastmcp.exceptions import ResourceError, ToolError
from fastmcp.server.completions import CompletionHandler, CompletionReference
from mcp_types import (
    CompletionArgument,
    CompletionContext,
    ResourceTemplateReference,
    ToolAnnotations,
)
from pydantic import Field, JsonValue

from app.errors import AppError
from app.notes import results
from app.notes.models import LIST_MAX, SEARCH_MAX, Caller, NoteStore, Order

NOTE_URI = "note://{id}"
REVISION_URI = "note://{id}/revisions/{version}"
COMPLETIONS_MAX = 100

P = ParamSpec("P")
R = TypeVar("R")


def _up_to(most: int) -> dict[str, JsonValue]:
    """Bounds for the schema only: the store refuses in words that a model understands."""
    return {"minimum": 1, "maximum": most}


Id = Annotated[str, Field(description="Id of the note, as search and list_notes give it.")]
Space = Annotated[
    str | None,
    Field(description='Only notes of this space; "~" is your own. Default: all spaces open to you.'),
]
Cursor = Annotated[
    str | None, Field(description="next_cursor of the page before, with everything else unchanged.")
]

_READ = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_WRITE = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
# The same change twice: the second time it is a conflict and changes nothing.
_CHANGE = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)


def register(mcp: FastMCP, store: NoteStore, caller: Callable[[], Caller], base_url: str) -> None:
    """Adds the note tools, the note resources and the completion of their ids. Every call asks `caller`.

    `base_url` is not used: a note has no page of its own, its address is the resource `note://{id}`.
    """
    tools = NoteTools(store, caller)
    for function, title, hints in (
        (tools.search, "Search notes", _READ),
        (tools.fetch, "Read a note", _READ),
        (tools.list_notes, "List notes", _READ),
        (tools.list_tags, "List tags", _READ),
        (tools.list_spaces, "List spaces", _READ),
        (tools.note_history, "History of a note", _READ),
        (tools.create_note, "Create a note", _WRITE),
        (tools.update_note, "Change a note", _CHANGE),
        (tools.append_note, "Append to a note", _WRITE),
        (tools.delete_note, "Delete a note", _CHANGE),
        (tools.restore_note, "Restore a deleted note", _CHANGE),
    ):
        mcp.tool(function, title=title, description=_description(function), annotations=hints)
    for uri, read, name, title, text in (
        (NOTE_URI, tools.read_note, "note", "Note", "The text of a note."),
        (REVISION_URI, tools.read_revision, "revision", "Revision", "The text of a note as it once was."),
    ):
        add = mcp.resource(uri, name=name, title=title, description=text, mime_type="text/markdown")
        add(read)
    mcp.add_completion_handler(complete(store, caller))


def complete(store: NoteStore, caller: Callable[[], Caller]) -> CompletionHandler:
    """Completes the `id` (by its beginning or by words of the title) and `version` of the note resources."""

    async def handler(
        reference: CompletionReference, argument: CompletionArgument, context: CompletionContext | None
    ) -> list[str]:
        if not isinstance(reference, ResourceTemplateReference) or reference.uri not in (
            NOTE_URI,
            REVISION_URI,
        ):
            return []
        try:
            if argument.name == "id":
                return await _ids(store, caller(), argument.value)
            note_id = ((context and context.arguments) or {}).get("id", "")
            versions = [str(past.version) for past in await store.history(caller(), note_id)]
            return [version for version in versions if version.startswith(argument.value)]
        except AppError:
            return []

    return handler


def for_models(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Lets a refusal reach the model as the sentence that says what to do."""

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except AppError as error:
            raise ToolError(error.public, log_level=logging.DEBUG) from error

    return call


def for_readers(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The same for resources."""

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except AppError as error:
            raise ResourceError(error.public, log_level=logging.DEBUG) from error

    return call


class NoteTools:
    """One method per tool; its docstring is the description that a model reads."""

    def __init__(self, store: NoteStore, caller: Callable[[], Caller]) -> None:
        self._store = store
        self._caller = caller

    @for_models
    async def search(
        self,
        query: Annotated[
            str, Field(description='Words that all have to occur; also "a phrase", -not, prefix*, tag:name.')
        ],
        space: Space = None,
        tags: Annotated[list[str] | None, Field(description="Only notes with all of these tags.")] = None,
        limit: Annotated[
            int, Field(description="How many results at most.", json_schema_extra=_up_to(SEARCH_MAX))
        ] = 10,
        cursor: Cursor = None,
    ) -> results.SearchResult:
        """Finds notes by their words, best match first; a hit in the title counts more.

        Upper case and accents do not matter. An empty query gives the notes changed last. Results carry a
        snippet only: call fetch with an id for the whole text.
        """
        page = await self._store.search(
            self._caller(), query, space=space, tags=tuple(tags or ()), limit=limit, cursor=cursor
        )
        return results.search_result(page)

    @for_models
    async def fetch(self, id: Id) -> results.FetchedNote:
        """Reads one note: its whole text (Markdown), and in metadata its space, tags, version, times, the
        notes it links to by [[Title]] and those that link to it. update_note needs the version."""
        caller = self._caller()
        note = await self._store.get(caller, id)
        return results.fetched(note, *await self._store.links(caller, note))

    @for_models
    async def list_notes(
        self,
        space: Space = None,
        tag: Annotated[str | None, Field(description="Only notes with this tag.")] = None,
        order: Annotated[
            Order, Field(description="updated and created: newest first; title: from A to Z.")
        ] = "updated",
        limit: Annotated[
            int, Field(description="How many notes at most.", json_schema_extra=_up_to(LIST_MAX))
        ] = 50,
        cursor: Cursor = None,
    ) -> results.NoteList:
        """Lists notes without their text, page by page. To find notes by what they say, use search."""
        page = await self._store.list(
            self._caller(), space=space, tag=tag, order=order, limit=limit, cursor=cursor
        )
        return results.note_list(page)

    @for_models
    async def list_tags(self, space: Space = None) -> results.TagList:
        """Lists all tags with the number of notes that have them, the most used first."""
        return results.TagList(results.counted(await self._store.tags(self._caller(), space)))

    @for_models
    async def list_spaces(self) -> results.SpaceList:
        """Lists the spaces that are open to you with their number of notes. "~" is your own."""
        return results.SpaceList(results.counted(await self._store.spaces(self._caller())))

    @for_models
    async def note_history(self, id: Id) -> results.History:
        """Lists all revisions of a note, newest first: who did what and when. Also of a deleted note.

        The text of a revision is the resource note://{id}/revisions/{version}.
        """
        return results.history(id, await self._store.history(self._caller(), id))

    @for_models
    async def create_note(
        self,
        title: Annotated[str, Field(description="One line of 1 to 200 characters.")],
        text: Annotated[
            str, Field(description="The note in Markdown, up to 1 MiB. [[Title]] links to another note.")
        ],
        tags: Annotated[list[str] | None, Field(description="Up to 50 tags.")] = None,
        space: Annotated[
            str, Field(description='The space to put it in; "~" is your own. list_spaces names them.')
        ] = "main",
    ) -> results.ChangedNote:
        """Writes a new note. To add to one that exists, use append_note; search first when in doubt."""
        note = await self._store.add(
            self._caller(), title=title, text=text, tags=tuple(tags or ()), space=space
        )
        return results.changed(note)

    @for_models
    async def update_note(
        self,
        id: Id,
        version: Annotated[int, Field(description="The version you have read (metadata.version of fetch).")],
        title: Annotated[str | None, Field(description="The new title. Left out: stays.")] = None,
        text: Annotated[
            str | None, Field(description="The whole new text; replaces the old one. Left out: stays.")
        ] = None,
        tags: Annotated[
            list[str] | None, Field(description="All tags from now on; [] removes them. Left out: stay.")
        ] = None,
    ) -> results.ChangedNote:
        """Changes title, text or tags of a note that you have fetched. If somebody changed it since, nothing
        is overwritten: the error names the current version; fetch again and repeat your change on the new
        text. Every earlier revision is kept."""
        new_tags = None if tags is None else tuple(tags)
        note = await self._store.update(
            self._caller(), id, version=version, title=title, text=text, tags=new_tags
        )
        return results.changed(note)

    @for_models
    async def append_note(
        self, id: Id, text: Annotated[str, Field(description="Markdown to add.")]
    ) -> results.ChangedNote:
        """Adds text at the end of a note, on a line of its own. Needs no version: nothing can get lost."""
        return results.changed(await self._store.append(self._caller(), id, text))

    @for_models
    async def delete_note(self, id: Id) -> results.ChangedNote:
        """Deletes a note: search and lists no longer show it. restore_note with its id brings it back."""
        return results.changed(await self._store.delete(self._caller(), id))

    @for_models
    async def restore_note(self, id: Id) -> results.ChangedNote:
        """Brings a deleted note back as it was."""
        return results.changed(await self._store.restore(self._caller(), id))

    @for_readers
    async def read_note(self, id: str) -> str:
        return (await self._store.get(self._caller(), id)).text

    @for_readers
    async def read_revision(self, id: str, version: int) -> str:
        return (await self._store.revision(self._caller(), id, version)).text


def _description(function: Callable[..., object]) -> str:
    return " ".join((function.__doc__ or "").split())


async def _ids(store: NoteStore, caller: Caller, begun: str) -> list[str]:
    by_id = await store.ids(caller, begun.lower(), COMPLETIONS_MAX)
    if by_id or not begun.strip():
        return list(by_id)
    page = await store.search(caller, f"{begun}*", space=None, tags=(), limit=SEARCH_MAX, cursor=None)
    return [hit.note.id for hit in page.items]
