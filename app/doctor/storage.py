"""What the Brain keeps on this machine: room for it, the database, the audit log, its secrets."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

from app.audit.chain import Fault, milliseconds, timestamp
from app.doctor.checks import Verdict, counted, fine, unasked, wrong
from app.oauth.keys import FOLDER as OAUTH_KEYS
from app.oauth.keys import KeysUnusable, SigningKey, kept_keys
from app.store.audit import known_key
from app.store.audit_check import verify_file
from app.store.denies import Entry, SqlDenies
from app.store.engine import Database, StoreUnusable
from app.store.schema import found_schema
from app.store.tables import SCHEMA

LOW = 256 * 1024 * 1024  # bytes: a checkpoint of the write-ahead log, and a backup of a small Brain
BUSY_SECONDS = 2.0
SECRETS = ("*.key", "*.db", "*.db-*", "*token*", "*credentials*", "keys.json", "*.env", ".env")
Free = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def disk(data_dir: Path, free: Free = free_bytes) -> Verdict:
    """DATA_DIR, or where it will be made: ours to write, and with room."""
    there = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    if not there.is_dir():
        return wrong(f"{there} is not a folder", f"move {there} away, or set DATA_DIR to a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        return wrong(f"{there} cannot be written", f"chown it to the one who runs the server: {there}")
    room = free(there)
    if room < LOW:
        return wrong(
            f"{_megabytes(room)} free for {data_dir}",
            f"make room, {_megabytes(LOW)} at least; AUDIT_KEEP_DAYS and AUDIT_KEEP_MB bound the audit log",
        )
    return fine(f"{_megabytes(LOW)} or more free for {data_dir}")


def database(file: Path) -> Verdict:
    """It opens, it is ours, nobody holds it, its pages hold together."""
    if not file.exists():
        return fine(f"none yet; the first start makes {file}")
    try:
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            problems = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            held = f"another program has held {file} for more than {BUSY_SECONDS:.0f} s"
            return wrong(held, f"find it with `fuser {file}`, and end it or wait for it")
        return wrong(
            f"{file}: {problem}", "correct DATABASE_URL, or the owner and mode of the file and its folder"
        )
    except sqlite3.DatabaseError as problem:
        return wrong(f"{file}: {problem}", "restore a backup: brain restore FILE")
    if problems != ["ok"]:
        return wrong(f"{file}: {problems[0].splitlines()[-1]}", "restore a backup: brain restore FILE")
    return _schema(file)


def _schema(file: Path) -> Verdict:
    try:
        found = found_schema(file)
    except StoreUnusable as problem:
        evidence, _, advice = problem.public.partition(". ")
        return wrong(evidence, advice or "set DATABASE_URL to another file")
    if found == SCHEMA:
        return fine(f"{file}, schema {found}")
    return fine(f"{file}, schema {found or 'none'}; the next start brings it to {SCHEMA}")


def has_tables(file: Path) -> bool:
    """Of this very version; an older or empty file is brought to them by the next start."""
    return file.exists() and found_schema(file) == SCHEMA


def audit(database_file: Path, key_file: Path) -> Verdict:
    if not has_tables(database_file):
        return unasked("there is no audit log yet")
    if not key_file.exists():
        return wrong(
            f"{key_file} is gone: what it sealed can no longer be proven",
            "put it back from a backup; without one, export the log and restart: that makes a new key",
        )
    result = verify_file(database_file, known_key(key_file))
    if isinstance(result, Fault):
        return wrong(
            f"record {result.seq}: {result.what}",
            f"copy {database_file} away for who looks into it, and find out who could write there",
        )
    return fine(f"{counted(result, 'record')} in one chain")


async def denies(file: Path) -> Verdict:
    """Who and what is shut off. That is somebody's will, so it is told and not a failure."""
    if not has_tables(file):
        return fine("nothing and nobody is shut off")
    opened = Database(file)
    try:
        return shut_off(await SqlDenies(opened).list())
    finally:
        await opened.close()


def shut_off(entries: Sequence[Entry]) -> Verdict:
    if not entries:
        return fine("nothing and nobody is shut off")
    lines = (
        f"{entry.target}, since {timestamp(milliseconds(entry.at))} by {entry.by}; "
        f"back with: brain undeny {entry.target}"
        for entry in entries
    )
    return fine(f"{len(entries)} shut off", *lines)


def modes(data_dir: Path, env_file: Path) -> Verdict:
    """Secrets that others on this machine could read."""
    found = [
        file
        for file in [env_file, *sorted(data_dir.rglob("*"))]
        if any(fnmatch(file.name, pattern) for pattern in SECRETS) and file.is_file()
    ]
    closed = data_dir.exists() and not data_dir.stat().st_mode & 0o077
    open_ones = [
        file
        for file in found
        if file.stat().st_mode & 0o077 and not (closed and file.is_relative_to(data_dir))
    ]
    if open_ones:
        named = " ".join(map(str, open_ones))
        return wrong(f"others can read {named}", f"chmod 600 {named}")
    return fine("each file with secrets is for its owner alone" if found else "no secret is kept yet")


def oauth_keys(data_dir: Path, now: float) -> Verdict:
    """The signing keys of the inner OAuth server."""
    file = data_dir / OAUTH_KEYS / "keys.json"
    try:
        kept = kept_keys(file)
    except KeysUnusable as problem:
        evidence, _, advice = problem.public.partition(". ")
        return wrong(evidence, advice.rstrip(".").replace("chmod 600 it", f"chmod 600 {file}"))
    if kept is None:
        return fine("none yet; the first start makes one")
    return _signing(list(kept[0].values()), now)


def _signing(keys: Sequence[SigningKey], now: float) -> Verdict:
    alive = [key for key in keys if key.until is None or now < key.until]
    ready = [key for key in alive if key.signs_from <= now]
    if not ready:
        return wrong(f"{len(keys)} keys, none of which signs now", "make a new one: brain oauth rotate-keys")
    newest = max(ready, key=lambda key: key.signs_from)
    days = (now - newest.signs_from) / 86_400
    return fine(f"{len(alive)} published; the one that signs ({newest.algorithm}) is {days:.0f} days old")


def _megabytes(count: int) -> str:
    return f"{count // (1024 * 1024):,} MB"
