"""`brain backup FILE` and `brain restore FILE`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from app.errors import AppError
from app.store.backup import back_up, restore
from app.store.engine import sqlite_path


class Settings(Protocol):
    @property
    def database_url(self) -> str: ...


def register(subparsers: Any) -> None:
    for name, run, text in (
        ("backup", run_backup, "copy the database to FILE, also while the server runs"),
        ("restore", run_restore, "put the database in FILE in place; the present one is kept beside it"),
    ):
        command = subparsers.add_parser(name, help=text, description=text)
        command.add_argument("file", type=Path, metavar="FILE")
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(run=run, on_record=name)


def run_backup(args: argparse.Namespace, settings: Settings) -> int:
    try:
        copy = back_up(sqlite_path(settings.database_url), args.file)
    except AppError as error:
        return _refused(error)
    _print(
        args,
        {"file": str(args.file), "bytes": copy.size, "notes": copy.notes},
        f"Backed up {copy.notes} notes to {args.file} ({copy.size} bytes).",
    )
    return 0


def run_restore(args: argparse.Namespace, settings: Settings) -> int:
    now = time.time()  # noqa: TID251  a command is where the clock comes in
    try:
        copy, kept = restore(args.file, sqlite_path(settings.database_url), now=now)
    except AppError as error:
        return _refused(error)
    was = f" The database of before is kept as {kept}." if kept else ""
    _print(
        args,
        {"file": str(args.file), "notes": copy.notes, "kept": str(kept) if kept else None},
        f"Restored {copy.notes} notes from {args.file}.{was}",
    )
    return 0


def _print(args: argparse.Namespace, values: dict[str, object], sentence: str) -> None:
    print(json.dumps(values, ensure_ascii=False) if args.json else sentence)


def _refused(error: AppError) -> int:
    print(error.public, file=sys.stderr)
    return 2 if error.status == 400 else 1
