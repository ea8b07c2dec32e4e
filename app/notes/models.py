"""The Note, what may be done with one, and the store that keeps it.

A note is never lost: every change is a revision, a deleted note can be restored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from app.errors import AppError

TITLE_MAX = 200
TEXT_MAX_BYTES = 1024 * 1024
TAGS_MAX = 50
TAG_MAX = 64
SPACE_MAX = 320
LIST_MAX = 200
SEARCH_MAX = 50
SPACE_TO_WRITE = {"create_note": "space"}  # tools that write into a space, and the argument that names it

T = TypeVar("T")
Order = Literal["updated", "created", "title"]
Action = Literal["create", "update", "append", "delete", "restore", "import"]


class NoteNotFound(AppError):
    code = "note_not_found"
    status = 404


class NoteConflict(AppError):
    code = "conflict"
    status = 409

    def __init__(self, public: str, *, current: int) -> None:
        super().__init__(public)
        self.current = current


class NoteInvalid(AppError):
    code = "invalid"
    status = 400


class SpaceClosed(AppError):
    """A write into a space that the caller's rules do not open."""

    code = "space_closed"
    status = 403


@dataclass(frozen=True, slots=True)
class Spaces:
    """The spaces that a decision opens.

    `every`: all without exception (the LAN). `shared`: all but the persons' own, whose names begin
    with "~". `names`: these too. Nothing set = no space at all.
    """

    every: bool = False
    shared: bool = False
    names: frozenset[str] = frozenset()

    def includes(self, space: str) -> bool:
        return self.every or space in self.names or (self.shared and not space.startswith("~"))

    def __and__(self, other: Spaces) -> Spaces:
        """The spaces that both open."""
        return Spaces(
            every=self.every and other.every,
            shared=(self.every or self.shared) and (other.every or other.shared),
            names=frozenset(
                {name for name in self.names if other.includes(name)}
                | {name for name in other.names if self.includes(name)}
            ),
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who reads or writes notes, as far as notes need to know.

    `author` is what a revision records; `own_space` is what the space name "~" stands for (None: the
    caller has no space of its own); `spaces` limits every query.
    """

    author: str
    own_space: str | None
    spaces: Spaces
    client: str | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """One note as it is now. Times are seconds since the epoch, UTC."""

    id: str
    space: str
    title: str
    text: str
    tags: tuple[str, ...]
    version: int
    created_at: float
    updated_at: float
    deleted_at: float | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    note_id: str
    version: int
    action: Action
    title: str
    size: int  # bytes of the text
    tags: tuple[str, ...]
    at: float
    author: str


@dataclass(frozen=True, slots=True)
class Hit:
    note: Note  # text is empty: a hit never carries the whole note
    snippet: str
    score: float  # 1 for the best, then 1/2, 1/3 …: an order, not a measure


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Link:
    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Count:
    name: str
    notes: int


class NoteStore(Protocol):
    """Where notes are kept. Every method sees only notes in `caller.spaces`; a note elsewhere is missing.

    Cursors are opaque; a cursor of another query or a broken one raises NoteInvalid.
    """

    async def add(self, caller: Caller, *, title: str, text: str, tags: tuple[str, ...], space: str) -> Note:
        """Raises SpaceClosed, NoteInvalid."""
        ...

    async def get(self, caller: Caller, note_id: str) -> Note:
        """A live note. Raises NoteNotFound (also when deleted; the sentence then says how to restore)."""
        ...

    async def update(
        self,
        caller: Caller,
        note_id: str,
        *,
        version: int,
        title: str | None,
        text: str | None,
        tags: tuple[str, ...] | None,
    ) -> Note:
        """Raises NoteNotFound, NoteConflict (names the current version), NoteInvalid."""
        ...

    async def append(self, caller: Caller, note_id: str, text: str) -> Note:
        """Adds at the end, on a line of its own, atomically: two concurrent appends both stay.

        Raises NoteNotFound, NoteInvalid.
        """
        ...

    async def delete(self, caller: Caller, note_id: str) -> Note:
        """Marks as deleted; deleting twice is the same as once. Raises NoteNotFound."""
        ...

    async def restore(self, caller: Caller, note_id: str) -> Note:
        """Undoes delete; restoring a live note changes nothing. Raises NoteNotFound."""
        ...

    async def history(self, caller: Caller, note_id: str) -> tuple[Revision, ...]:
        """Newest first, also of a deleted note. Raises NoteNotFound."""
        ...

    async def revision(self, caller: Caller, note_id: str, version: int) -> Note:
        """The note as it was at that version, also of a deleted note. Raises NoteNotFound."""
        ...

    async def ids(self, caller: Caller, beginning: str, limit: int) -> tuple[str, ...]:
        """Ids of live notes that begin with `beginning`, newest first."""
        ...

    async def links(self, caller: Caller, note: Note) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
        """(notes that `note` links to by [[title]], notes that link to it), visible ones only."""
        ...

    async def search(
        self,
        caller: Caller,
        query: str,
        *,
        space: str | None,
        tags: tuple[str, ...],
        limit: int,
        cursor: str | None,
    ) -> Page[Hit]:
        """Best first. Never raises on what `query` says; raises NoteInvalid for a bad cursor or limit."""
        ...

    async def list(
        self,
        caller: Caller,
        *,
        space: str | None,
        tag: str | None,
        order: Order,
        limit: int,
        cursor: str | None,
    ) -> Page[Note]:
        """Notes without their text. A walk by cursor visits each note once, also while others write."""
        ...

    async def tags(self, caller: Caller, space: str | None) -> tuple[Count, ...]: ...

    async def spaces(self, caller: Caller) -> tuple[Count, ...]: ...
