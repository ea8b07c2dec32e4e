"""A folder of Markdown files ↔ notes: the walk, the reading and the writing of files."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from app.notes.files import SUFFIXES, Outcome, Source, decide_export, file_path
from app.notes.markdown import FILE_MAX, read_markdown, write_markdown
from app.notes.models import NoteInvalid
from app.store.sources import Exported, Incoming, NoteFiles

BATCH_BYTES = 8 * 1024 * 1024  # per transaction: 0.2 s in which a server has to wait to write
BATCH_FILES = 1000
DEFAULT_SPACE = "main"

Progress = Callable[[int, int], None]  # how many more are done, and of how many


@dataclass
class Report:
    """What became of each file. Everything that asks for the person's attention is a problem."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[dict[str, str]] = field(default_factory=list)

    def add(self, path: str, outcome: Outcome, why: str = "") -> None:
        self.counts[outcome] += 1
        if why:
            shown = path.encode(errors="replace").decode()
            self.problems.append({"path": shown, "outcome": outcome, "why": why})


def import_folder(
    store: NoteFiles, folder: Path, *, space: str | None, force: bool, progress: Progress
) -> Report:
    """Reads the next files while a thread writes the last ones: SQLite and Python use a core each."""
    report = Report()
    known = store.sources(space)
    found = list(_markdown_files(folder))
    batch: list[Incoming] = []
    size = 0
    writing: Future[None] | None = None

    def put(files: list[Incoming]) -> None:
        outcomes = store.put(files, space=space, force=force)
        for file, outcome in zip(files, outcomes, strict=True):
            report.add(file.path, outcome, _CONFLICT if outcome == "conflict" else "")
        progress(len(files), len(found))

    with ThreadPoolExecutor(max_workers=1) as writer:
        for path, file_or_why in found:
            item = _incoming(path, file_or_why, known, space)
            if not isinstance(item, Incoming):
                report.add(path, *item)
                progress(1, len(found))
                continue
            batch.append(item)
            size += len(item.file.text)
            if size >= BATCH_BYTES or len(batch) >= BATCH_FILES:
                if writing:
                    writing.result()
                writing = writer.submit(put, batch)
                batch, size = [], 0
        if writing:
            writing.result()
        if batch:
            put(batch)
    report.problems.sort(key=lambda problem: problem["path"])
    return report


def export_folder(
    store: NoteFiles, folder: Path, *, space: str | None, force: bool, progress: Progress
) -> Report:
    report = Report()
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()
    total = store.count(space)
    taken: set[str] = set()
    written: list[tuple[Exported, str, str]] = []
    for note in store.export(space):
        path = file_path(
            note.space, note.title, taken=taken, source=note.source.path if note.source else None
        )
        digest = _export(note, root, path, report, force=force)
        if digest:
            written.append((note, path, digest))
        if len(written) >= BATCH_FILES:
            store.mark_exported(written)
            written = []
        progress(1, total)
    store.mark_exported(written)
    return report


_CONFLICT = "File and note have both changed. Merge them by hand, or take the file with --force."


def _incoming(
    path: str, file: Path | str, known: dict[str, Source], space: str | None
) -> Incoming | tuple[Outcome, str]:
    if isinstance(file, str):
        return "skipped", file
    try:
        data = _read(file)
        digest = sha256(data).hexdigest()
        source = known.get(path)
        if source and source.knows(digest):
            return "unchanged", ""
        where = space or (source.space if source else DEFAULT_SPACE)
        return Incoming(path, where, digest, read_markdown(data, path))
    except NoteInvalid as error:
        return "skipped", error.public
    except OSError as error:
        return "skipped", f"The file cannot be read ({error.strerror}). Correct its permissions."


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(FILE_MAX + 1)


def _markdown_files(folder: Path) -> Iterator[tuple[str, Path | str]]:
    """(path below the folder, the file or why it is left out), always in the same order; no hidden names."""
    root = folder.resolve()
    waiting = [(root, "")]
    while waiting:
        directory, prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError as error:
            yield prefix or ".", f"The folder cannot be read ({error.strerror}). Correct its permissions."
            continue
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), f"{path}/"))
            elif entry.name.lower().endswith(SUFFIXES):
                yield path, _file_or_why(entry, root)


def _file_or_why(entry: os.DirEntry[str], root: Path) -> Path | str:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "The name of the file is not UTF-8. Rename it."
    if entry.is_symlink():
        target = Path(entry.path).resolve()
        if not target.is_relative_to(root):
            return "The link leads out of the folder. Import the folder that it leads to."
        return target if target.is_file() else "The link leads to no file. Remove it."
    return Path(entry.path) if entry.is_file(follow_symlinks=False) else "This is not a regular file."


def _export(note: Exported, root: Path, path: str, report: Report, *, force: bool) -> str | None:
    """The SHA-256 of the file that now holds the note, None if it was left as it is."""
    prefix = note.source.prefix if note.source else b""
    data = write_markdown(note.title, note.text, note.tags, prefix=prefix, path=path)
    target = root / path
    if not target.parent.resolve().is_relative_to(root):
        report.add(path, "conflict", "A link leads out of the folder. Remove it or export elsewhere.")
        return None
    ours = sha256(data).hexdigest()
    try:
        outcome = decide_export(note.source, ours, _digest(target), force=force)
        if outcome in ("added", "updated"):
            _write(target, data)
    except OSError as error:
        report.add(
            path, "conflict", f"The file cannot be written ({error.strerror}). Move what is in its place."
        )
        return None
    if outcome == "conflict":
        report.add(path, outcome, "The file has been changed elsewhere. Import it first, or use --force.")
        return None
    report.add(path, outcome)
    return ours


def _digest(target: Path) -> str | None:
    """Of what is there; a link or a folder counts as a changed file."""
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return None
    return sha256(target.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""


def _write(target: Path, data: bytes) -> None:
    """Whole or not at all: a reader never sees half a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name[:100]}.{os.getpid()}.part")
    try:
        half.write_bytes(data)
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
