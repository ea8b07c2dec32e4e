"""`brain notes import DIR` and `brain notes export DIR`: a folder of Markdown files ↔ notes."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from app.errors import AppError
from app.notes.ids import uuid7
from app.notes.models import Caller, Spaces
from app.notes.valid import full_space
from app.store.engine import sqlite_path, sync_engine
from app.store.folder import Progress, Report, export_folder, import_folder
from app.store.schema import ensure_schema
from app.store.sources import NoteFiles

_LAN = Caller(author="lan", own_space=None, spaces=Spaces(every=True))


class Settings(Protocol):
    @property
    def data_dir(self) -> Path: ...
    @property
    def database_url(self) -> str: ...


def register(subparsers: Any) -> None:
    notes = subparsers.add_parser("notes", help="import and export notes as Markdown files")
    commands = notes.add_subparsers(dest="notes_command", required=True, metavar="import | export")
    for name, run, text in (
        ("import", run_import, "read *.md, *.mdx and *.markdown below DIR; unchanged files are passed over"),
        ("export", run_export, "write every note to a file below DIR; imported ones to where they came from"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("dir", type=Path, metavar="DIR")
        command.add_argument("--space", help="only this space; for import: where new notes go (main)")
        command.add_argument("--force", action="store_true", help="also where both sides have changed")
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(run=run, on_record=f"notes/{name}")


def run_import(args: argparse.Namespace, settings: Settings) -> int:
    if not args.dir.is_dir():
        return _usage(f"{args.dir} is not a folder. Name the folder that holds the Markdown files.")
    try:
        space = None if args.space is None else full_space(_LAN, args.space)
        with _note_files(settings) as store, _progress("Importing", args) as progress:
            report = import_folder(store, args.dir, space=space, force=args.force, progress=progress)
    except AppError as error:
        return _usage(error.public)
    return _finish(report, args, f"Imported from {args.dir}")


def run_export(args: argparse.Namespace, settings: Settings) -> int:
    if args.dir.exists() and not args.dir.is_dir():
        return _usage(f"{args.dir} is not a folder. Name a folder to write the Markdown files to.")
    try:
        space = None if args.space is None else full_space(_LAN, args.space)
        with _note_files(settings) as store, _progress("Exporting", args) as progress:
            report = export_folder(store, args.dir, space=space, force=args.force, progress=progress)
    except AppError as error:
        return _usage(error.public)
    except OSError as error:
        return _usage(f"{args.dir} cannot be written ({error.strerror}). Correct its permissions.")
    return _finish(report, args, f"Exported to {args.dir}")


@contextmanager
def _note_files(settings: Settings) -> Iterator[NoteFiles]:
    path = sqlite_path(settings.database_url)
    ensure_schema(path)
    engine = sync_engine(path)
    now = time.time  # noqa: TID251  a command is where the clock comes in
    try:
        yield NoteFiles(engine, _LAN, now=now, new_id=lambda: uuid7(int(now() * 1000), os.urandom(10)))
    finally:
        engine.dispose()


@contextmanager
def _progress(what: str, args: argparse.Namespace) -> Iterator[Progress]:
    if args.json or not sys.stderr.isatty():
        yield lambda _, __: None
        return
    from rich.console import Console  # not at the top: only for people who watch
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, advance=done, total=total)


def _finish(report: Report, args: argparse.Namespace, title: str) -> int:
    order = ("added", "updated", "unchanged", "conflict", "skipped")
    if args.json:
        counts = {name: report.counts[name] for name in order}
        print(json.dumps(counts | {"problems": report.problems}, ensure_ascii=False, indent=2))
    else:
        for problem in report.problems:
            print(f"{problem['outcome']}: {problem['path']}: {problem['why']}", file=sys.stderr)
        print(f"{title}: " + ", ".join(f"{report.counts[name]} {name}" for name in order) + ".")
    return 1 if report.problems else 0


def _usage(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2
