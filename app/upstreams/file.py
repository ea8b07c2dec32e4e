"""upstreams.toml on disk: read, added to, and what is known of its upstreams without asking them."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from app.policy.check import Tool
from app.upstreams.entries import Entry, Upstreams, UpstreamsInvalid, parse
from app.upstreams.kept import Kept, KeptFile
from app.upstreams.listing import Listing
from app.upstreams.names import Names


def read_upstreams(path: Path) -> Upstreams:
    """Without a file: none. Raises UpstreamsInvalid."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return Upstreams()
    except OSError as problem:
        raise UpstreamsInvalid([f"{path} cannot be read: {problem.strerror}"]) from None


def append(path: Path, section: str) -> Upstreams:
    """The file with one more section: whole or not at all, and nothing of it written anew.

    Raises UpstreamsInvalid; then it stays as it was.
    """
    try:
        before = path.read_text("utf-8-sig") if path.exists() else "version = 1\n"
        whole = before.rstrip("\n") + "\n\n" + section
        found = parse(whole)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with suppress(FileNotFoundError):
            temporary.unlink()
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as out:
            out.write(whole)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except (OSError, UnicodeDecodeError) as problem:
        raise UpstreamsInvalid([f"{path} cannot be written: {problem}"]) from None
    return found


def kept_of(data_dir: Path, name: str) -> Kept | None:
    return KeptFile(data_dir, name, time.monotonic).current()


def tools_of(entry: Entry, listing: Listing) -> Iterator[Tool]:
    """As a policy knows them: by their names here."""
    names = Names(entry)
    for name, one in listing.tools.items():
        read_only = entry.trust_annotations and bool(one.get("annotations", {}).get("readOnlyHint"))
        yield Tool(names.name(name), read_only, one.get("inputSchema", {}), not entry.trust_annotations)


def addresses_of(entry: Entry, listing: Listing) -> dict[str, str | None]:
    """Of resources and templates: there, and as a policy knows them. None: left out here."""
    names = Names(entry)
    templates = {one: names.uri(one) for one in listing.templates}
    return {one: names.resource(one) for one in listing.resources} | templates


def seen_tools(data_dir: Path, found: Upstreams, taken: Collection[str]) -> Iterator[Tool]:
    """What was listed last, of all upstreams; the first of a name counts, and `taken` before all."""
    known = set(taken)
    for entry in found.entries:
        kept = kept_of(data_dir, entry.name)
        for tool in tools_of(entry, kept.seen) if kept else ():
            if tool.name not in known:
                known.add(tool.name)
                yield tool


def seen_addresses(data_dir: Path, found: Upstreams) -> Iterator[str]:
    """Resources and templates that were listed last, of all upstreams."""
    for entry in found.entries:
        if (kept := kept_of(data_dir, entry.name)) is not None:
            yield from filter(None, addresses_of(entry, kept.seen).values())


def unseen(data_dir: Path, found: Upstreams) -> tuple[str, ...]:
    """Beginnings of the names of tools of upstreams that were never reached."""
    return tuple(entry.prefix for entry in found.entries if kept_of(data_dir, entry.name) is None)
