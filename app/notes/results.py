"""What the note tools answer: the shapes of their structured output. Times are ISO 8601, UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from app.notes.models import Count, Hit, Link, Note, Page, Revision


@dataclass(frozen=True, slots=True)
class FoundNote:
    id: str
    title: str
    url: str
    snippet: str
    space: str
    tags: list[str]
    updated_at: str
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    results: list[FoundNote]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class LinkedNote:
    id: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class NoteMetadata:
    space: str
    tags: list[str]
    version: int
    created_at: str
    updated_at: str
    links: list[LinkedNote]
    backlinks: list[LinkedNote]


@dataclass(frozen=True, slots=True)
class FetchedNote:
    id: str
    title: str
    text: str
    url: str
    metadata: NoteMetadata


@dataclass(frozen=True, slots=True)
class ListedNote:
    id: str
    title: str
    url: str
    space: str
    tags: list[str]
    version: int
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class NoteList:
    notes: list[ListedNote]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ChangedNote:
    id: str
    title: str
    url: str
    space: str
    tags: list[str]
    version: int
    created_at: str
    updated_at: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Counted:
    name: str
    notes: int


@dataclass(frozen=True, slots=True)
class TagList:
    tags: list[Counted]


@dataclass(frozen=True, slots=True)
class SpaceList:
    spaces: list[Counted]


@dataclass(frozen=True, slots=True)
class PastRevision:
    version: int
    action: str
    title: str
    size: int
    tags: list[str]
    at: str
    author: str


@dataclass(frozen=True, slots=True)
class History:
    id: str
    revisions: list[PastRevision]


def note_url(note_id: str) -> str:
    """The note as a resource of this server: what a client can open again."""
    return f"note://{note_id}"


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def search_result(page: Page[Hit]) -> SearchResult:
    return SearchResult([_found(hit) for hit in page.items], page.next_cursor)


def fetched(note: Note, links: tuple[Link, ...], backlinks: tuple[Link, ...]) -> FetchedNote:
    metadata = NoteMetadata(
        space=note.space,
        tags=list(note.tags),
        version=note.version,
        created_at=iso(note.created_at),
        updated_at=iso(note.updated_at),
        links=[LinkedNote(link.id, link.title, note_url(link.id)) for link in links],
        backlinks=[LinkedNote(link.id, link.title, note_url(link.id)) for link in backlinks],
    )
    return FetchedNote(note.id, note.title, note.text, note_url(note.id), metadata)


def note_list(page: Page[Note]) -> NoteList:
    return NoteList([_listed(note) for note in page.items], page.next_cursor)


def changed(note: Note) -> ChangedNote:
    return ChangedNote(
        id=note.id,
        title=note.title,
        url=note_url(note.id),
        space=note.space,
        tags=list(note.tags),
        version=note.version,
        created_at=iso(note.created_at),
        updated_at=iso(note.updated_at),
        deleted=note.deleted_at is not None,
    )


def counted(counts: tuple[Count, ...]) -> list[Counted]:
    return [Counted(count.name, count.notes) for count in counts]


def history(note_id: str, revisions: tuple[Revision, ...]) -> History:
    return History(note_id, [_past(revision) for revision in revisions])


def _found(hit: Hit) -> FoundNote:
    note = hit.note
    return FoundNote(
        id=note.id,
        title=note.title,
        url=note_url(note.id),
        snippet=hit.snippet,
        space=note.space,
        tags=list(note.tags),
        updated_at=iso(note.updated_at),
        score=hit.score,
    )


def _listed(note: Note) -> ListedNote:
    return ListedNote(
        id=note.id,
        title=note.title,
        url=note_url(note.id),
        space=note.space,
        tags=list(note.tags),
        version=note.version,
        created_at=iso(note.created_at),
        updated_at=iso(note.updated_at),
    )


def _past(revision: Revision) -> PastRevision:
    return PastRevision(
        version=revision.version,
        action=revision.action,
        title=revision.title,
        size=revision.size,
        tags=list(revision.tags),
        at=iso(revision.at),
        author=revision.author,
    )
