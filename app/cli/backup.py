"""`brain backup FILE` and `brain restore FILE`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Protocol

from app.audit.events import WHOLE_RESTORE
from app.cli.database import clock
from app.errors import AppError
from app.settings.values import some
from app.store.backup import BackupRefused, back_up, dated, keep_newest
from app.store.engine import sqlite_path
from app.store.restore import restore

_MORE = {
    "backup": "FILE must not exist; in a folder it is named by the time. "
    "Beside it, the keys in DATA_DIR belong into a backup.",
    "restore": "The database of before is kept beside the new one. Who is shut off, the OAuth grants and the "
    "audit log stay as they are.",
}


class Settings(Protocol):
    @property
    def database_url(self) -> str: ...


def register(subparsers: Any) -> None:
    for name, run, text in (
        ("backup", run_backup, "copy the database to FILE, also while the server runs"),
        ("restore", run_restore, "bring back the notes of FILE, also while the server runs"),
    ):
        command = subparsers.add_parser(name, help=text, description=f"{text}. {_MORE[name]}")
        command.add_argument("file", type=Path, metavar="FILE")
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(run=run, on_record=name)
        if run is run_backup:
            command.add_argument(
                "--keep",
                type=_count,
                metavar="N",
                help="of the backups in the folder FILE, keep the N newest",
            )


def run_backup(args: argparse.Namespace, settings: Settings) -> int:
    """A folder and a number to keep are all that a timer has to know: it needs no shell."""
    folder = args.file if args.file.is_dir() else None
    gone = 0
    try:
        if args.keep and folder is None:
            raise BackupRefused(f"{args.file} is not a folder. --keep looks after the backups in one.")
        if folder is not None:
            args.file = dated(folder, clock())
        copy = back_up(sqlite_path(settings.database_url), args.file)
        if folder is not None and args.keep:
            gone = keep_newest(folder, args.keep)
    except AppError as error:
        return _refused(error)
    _print(
        args,
        {"file": str(args.file), "bytes": copy.size, "notes": copy.notes, "removed": gone},
        f"Backed up {copy.notes} notes to {args.file} ({copy.size} bytes)."
        + (f" Removed {gone} older." if gone else ""),
    )
    return 0


def _count(text: str) -> int:
    try:
        return some(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def run_restore(args: argparse.Namespace, settings: Settings) -> int:
    try:
        done = restore(args.file, sqlite_path(settings.database_url), now=clock())
    except AppError as error:
        return _refused(error)
    if done.from_backup:
        args.on_record = WHOLE_RESTORE
    kept = str(done.kept) if done.kept else None
    values = {
        "file": str(args.file),
        "notes": done.copy.notes,
        "kept": kept,
        "from_backup": list(done.from_backup),
    }
    sentences = [f"Restored {done.copy.notes} notes from {args.file}."]
    if kept:
        sentences.append(f"The database of before is kept as {kept}.")
    if done.from_backup:
        why = "It could not be read in full" if kept else "There was no database"
        sentences.append(
            f"{why}, so {', '.join(done.from_backup)} are those of the backup: see `brain deny` and "
            "`brain oauth grants`, and close again what was closed since."
        )
    _print(args, values, " ".join(sentences))
    return 0


def _print(args: argparse.Namespace, values: dict[str, object], sentence: str) -> None:
    print(json.dumps(values, ensure_ascii=False) if args.json else sentence)


def _refused(error: AppError) -> int:
    print(error.public, file=sys.stderr)
    return 2 if error.status == 400 else 1
