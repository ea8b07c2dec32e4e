"""How fast the Brain imports and searches, and how large its file grows: `python -m bench.notes [SIZE …]`.

The text is made up: words whose frequencies fall as those of written English do (Zipf), in notes of very
different lengths, half with front matter. A search is compared with the bare FTS5 query for the same words
on the same file in the same run: top ten by BM25, joined with the table of notes, nothing around it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from bisect import bisect
from collections.abc import Callable, Iterator
from itertools import accumulate, count
from pathlib import Path
from typing import Any

from app.notes.ids import uuid7
from app.notes.models import Caller, Spaces
from app.notes.query import fts_match, parse
from app.store.engine import sync_engine
from app.store.folder import import_folder
from app.store.open import open_store
from app.store.schema import ensure_schema
from app.store.sources import NoteFiles

SIZES = (1_000, 10_000, 100_000)
WORDS = 30_000
MEDIAN_WORDS = 120  # of a note; the mean is about 200
SEARCHES = 300
LONG_NOTES = 2_000
LONG_WORDS = 2_000  # median of the long ones; the mean is about 21 kB
LAN = Caller("lan", None, Spaces(every=True))
PERSON = Caller("alice", "~alice", Spaces(shared=True, names=frozenset({"~alice"})))
BARE = """SELECT n.id, n.title, f.rank FROM notes_fts f JOIN notes n ON n.key = f.rowid
          WHERE f.notes_fts MATCH ? AND n.deleted_at IS NULL ORDER BY f.rank LIMIT 10"""


class Language:
    """Words by rank, drawn with the frequency 1 / (rank + 2.7)."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  the same text in every run
        parts = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
        names: dict[str, None] = {}
        while len(names) < WORDS:
            names.setdefault("".join(self.random.choices(parts, k=self.random.randint(1, 4))))
        self.words = list(names)
        self.sums = list(accumulate(1 / (rank + 2.7) for rank in range(WORDS)))

    def word(self) -> str:
        return self.words[bisect(self.sums, self.random.random() * self.sums[-1])]

    def text(self, median_words: int = MEDIAN_WORDS) -> str:
        length = int(self.random.lognormvariate(0, 1) * median_words) + 5
        words = [self.word() for _ in range(length)]
        lines = (" ".join(words[at : at + 14]) for at in range(0, length, 14))
        return "\n".join(lines) + "\n"

    def queries(self, number: int) -> Iterator[str]:
        """What people search for: one to three words, mostly not the most frequent ones; some prefixes."""
        for index in range(number):
            words = [
                self.words[int(self.random.lognormvariate(6, 1.5)) % WORDS] for _ in range(1 + index % 3)
            ]
            yield " ".join(words) + ("*" if index % 10 == 9 else "")


def run(sizes: tuple[int, ...] | list[int] = SIZES) -> list[dict[str, Any]]:
    """One row per size. Times in milliseconds."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="brain-bench-") as folder:
            rows.append(asyncio.run(_measure(size, Path(folder))))
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    cells = [names, *([f"{row[name]:,}" for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
    )


async def _measure(size: int, folder: Path) -> dict[str, Any]:
    language = Language(seed=size)
    text_bytes = _write_files(language, size, folder / "files")
    file = folder / "brain.db"
    seconds = _import(folder / "files", file)
    bare, every, person, pages = await _search(file, list(language.queries(SEARCHES)))
    return {
        "notes": size,
        "text_mb": round(text_bytes / 1e6, 1),
        "import_per_s": round(size / seconds),
        "file_mb": round(file.stat().st_size / 1e6, 1),
        "bare_p50": _percentile(bare, 50),
        "bare_p99": _percentile(bare, 99),
        "search_p50": _percentile(every, 50),
        "search_p99": _percentile(every, 99),
        "person_p50": _percentile(person, 50),
        "person_p99": _percentile(person, 99),
        "ratio_p50": round(statistics.median(every) / statistics.median(bare), 2),
        "list_p50": _percentile(pages, 50),
    }


def long_notes() -> tuple[int, float]:
    """(notes imported in a second, their mean size in bytes) for notes as long as a page of documentation."""
    with tempfile.TemporaryDirectory(prefix="brain-bench-") as name:
        folder = Path(name)
        total = _write_files(Language(seed=21), LONG_NOTES, folder / "files", LONG_WORDS)
        return round(LONG_NOTES / _import(folder / "files", folder / "brain.db")), total / LONG_NOTES


def _write_files(language: Language, size: int, folder: Path, median_words: int = MEDIAN_WORDS) -> int:
    total = 0
    for number in range(size):
        below = folder / f"{number // 500}"
        below.mkdir(parents=True, exist_ok=True)
        title = f"{language.word()} {language.word()} {number}"
        head = f"---\ntitle: {title}\ntags: [{language.word()}]\n---\n" if number % 2 else f"# {title}\n\n"
        data = (head + language.text(median_words)).encode()
        (below / f"{number}.md").write_bytes(data)
        total += len(data)
    return total


def _import(folder: Path, file: Path) -> float:
    """Seconds for the whole import, with every file read, parsed and safely on the disk."""
    ensure_schema(file)
    engine = sync_engine(file)
    ids = count()
    store = NoteFiles(engine, LAN, now=lambda: 1.7e9, new_id=lambda: uuid7(next(ids), bytes(10)))
    start = time.perf_counter()
    import_folder(store, folder, space=None, force=False, progress=lambda _, __: None)
    engine.dispose()
    return time.perf_counter() - start


async def _search(file: Path, queries: list[str]) -> tuple[list[float], ...]:
    """The kinds take turns on every query, so that they meet the same caches and the same noise."""
    store = await open_store(file, now=lambda: 1.7e9, new_id=str)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA mmap_size=268435456")
    connection.execute("PRAGMA cache_size=-16384")
    bare, every, person, pages = [], [], [], []

    async def search(caller: Caller, query: str) -> float:
        start = time.perf_counter()
        await store.notes.search(caller, query, space=None, tags=(), limit=10, cursor=None)
        return time.perf_counter() - start

    for query in queries:
        match = fts_match(parse(query))
        _timed(lambda match=match: connection.execute(BARE, (match,)).fetchall())  # type: ignore[misc]
        await search(LAN, query)
        bare.append(_timed(lambda match=match: connection.execute(BARE, (match,)).fetchall()))  # type: ignore[misc]
        every.append(await search(LAN, query))
        person.append(await search(PERSON, query))
        start = time.perf_counter()
        await store.notes.list(PERSON, space=None, tag=None, order="updated", limit=50, cursor=None)
        pages.append(time.perf_counter() - start)
    connection.close()
    await store.close()
    return bare, every, person, pages


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _percentile(seconds: list[float], percent: int) -> float:
    return round(statistics.quantiles(seconds, n=100)[percent - 1] * 1000, 2)


if __name__ == "__main__":
    measured = run([int(size) for size in sys.argv[1:] if size != "--json"] or SIZES)
    print(json.dumps(measured) if "--json" in sys.argv else table(measured))
