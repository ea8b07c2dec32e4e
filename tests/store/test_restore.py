"""`brain restore`: the notes come back, the doors keep what they know."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.cli.main import main
from app.store.open import Store, open_store
from app.store.restore import DOORS

from .conftest import LAN, Clock, counting_ids

DOOR_TABLES = tuple(itertools.chain.from_iterable(DOORS.values()))
SHUT = "INSERT INTO denies (target, at, by) VALUES (?, ?, 'root')"
GRANT = """INSERT INTO oauth_grants (id, principal_id, subject, client_id, client_fingerprint, redirect_host,
           scopes, groups, resource, created_at, expires_at, revoked_at)
           VALUES ('g', 'p', 's', 'c', 'f', 'h', '[]', '[]', 'r', 1, 2, ?)"""


async def add(store: Store, title: str, text: str = "") -> None:
    await store.notes.add(LAN, title=title, text=text, tags=("a",), space="main")


async def titles(store: Store) -> list[str]:
    page = await store.notes.list(LAN, space=None, tag=None, order="title", limit=200, cursor=None)
    return [note.title for note in page.items]


async def titles_in(file: Path) -> list[str]:
    store = await open_store(file, now=Clock(), new_id=counting_ids())
    try:
        return await titles(store)
    finally:
        await store.close()


async def found(store: Store, word: str) -> list[str]:
    page = await store.notes.search(LAN, word, space=None, tags=(), limit=50, cursor=None)
    return [hit.note.title for hit in page.items]


def do(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement, values)


def doors(file: Path) -> dict[str, list[object]]:
    with closing(sqlite3.connect(file)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
            for table in DOOR_TABLES
        }


def before(file: Path) -> Path:
    (kept,) = file.parent.glob("brain.db.before-*Z")
    return kept


async def test_a_restore_beside_a_running_server_brings_back_the_notes_and_keeps_what_was_there(
    opened: Store, file: Path, tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    await add(opened, "Before", "harvest moon")
    await add(opened, "Deleted before", "harvest gone")
    page = await opened.notes.list(LAN, space=None, tag=None, order="title", limit=2, cursor=None)
    await opened.notes.delete(LAN, page.items[1].id)
    assert brain("backup", tmp_path / "copy.db") == 0
    await add(opened, "After", "harvest sun")
    assert await found(opened, "harvest") == ["Before", "After"]
    capsys.readouterr()
    assert brain("restore", tmp_path / "copy.db") == 0
    assert str(before(file)) in capsys.readouterr().out
    assert await titles(opened) == ["Before"]
    assert await found(opened, "harvest") == ["Before"]
    assert await titles_in(before(file)) == ["After", "Before"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (file, before(file)))
    await add(opened, "Later", "harvest again")
    assert await found(opened, "harvest") == ["Before", "Later"]
    assert not list(file.parent.glob(".*restored"))


async def test_a_restore_changes_nothing_that_the_doors_know(
    opened: Store, file: Path, tmp_path: Path, brain: Callable[..., int]
) -> None:
    do(file, SHUT, "old@home.example", 1.0)
    do(file, GRANT, None)
    assert brain("backup", tmp_path / "copy.db") == 0
    do(file, "UPDATE oauth_grants SET revoked_at = 2.0")
    do(file, "INSERT INTO oauth_revocations (grant_id, until) VALUES ('g', 9.0)")
    do(file, "DELETE FROM denies")
    do(file, SHUT, "eve@contractor.example", 2.0)
    known = doors(file)
    assert brain("restore", tmp_path / "copy.db") == 0
    assert doors(file) == known
    assert doors(before(file)) == known


def all_titles(file: Path) -> list[str]:
    """However many there are: a list ends after 200."""
    with closing(sqlite3.connect(file)) as connection:
        return [title for (title,) in connection.execute("SELECT title FROM notes")]


async def test_no_note_is_lost_that_a_server_acknowledged_during_a_restore(
    opened: Store, file: Path, tmp_path: Path, brain: Callable[..., int]
) -> None:
    await add(opened, "Before")
    assert brain("backup", tmp_path / "copy.db") == 0
    acknowledged: list[str] = []
    begun, ending = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        while not ending.is_set():
            title = f"Note {len(acknowledged)}"
            await add(opened, title)
            acknowledged.append(title)
            begun.set()

    writing = asyncio.create_task(write())
    await begun.wait()
    assert await asyncio.to_thread(brain, "restore", tmp_path / "copy.db") == 0
    ending.set()
    await writing
    assert set(acknowledged) <= {*all_titles(before(file)), *all_titles(file)}


async def test_a_restore_of_something_else_changes_nothing(
    file: Path, tmp_path: Path, clock: Clock, brain: Callable[..., int]
) -> None:
    store = await open_store(file, now=clock, new_id=counting_ids())
    await add(store, "Mine")
    await store.close()
    whole = tmp_path / "whole.db"
    assert brain("backup", whole) == 0
    data = whole.read_bytes()
    (tmp_path / "text").write_text("no database " * 1000)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "torn").write_bytes(data[: len(data) // 2])
    (tmp_path / "damaged").write_bytes(data[:8192] + b"\xff" * 4096 + data[12288:])
    do(tmp_path / "other", "CREATE TABLE x (y)")
    for name in ("text", "empty", "torn", "damaged", "other", "missing"):
        assert brain("restore", tmp_path / name) in (1, 2), name
    assert brain("restore", file) == 2
    assert await titles_in(file) == ["Mine"]
    assert sorted(path.name for path in file.parent.iterdir()) == ["brain.db"]


ITS_OWN = {
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON denies BEGIN DELETE FROM denies; END",
    "a view": "CREATE VIEW mine AS WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT * FROM n) SELECT * FROM n",
    "a table": "CREATE TABLE mine (x)",
    "another trigger by the name of ours": """CREATE TRIGGER notes_fts_text AFTER INSERT ON notes BEGIN
        DELETE FROM denies; END""",
    "a virtual table": "CREATE VIRTUAL TABLE mine USING fts5(x)",
    "a view by the name of a table": "CREATE VIEW note_links AS SELECT 1 AS note_key, 'x' AS target",
    "an odd note": """INSERT INTO notes (key, id, space, title, folded, tags, version, changed, created_at,
        updated_at) VALUES (99, 'x', 'main', 't', 't', '{not json', 1, 99, 'yesterday', 1)""",
}


@pytest.mark.parametrize("own", ITS_OWN)
@pytest.mark.parametrize("there", ["a database", "none", "a damaged one"])
async def test_a_backup_with_something_of_its_own_in_it_is_refused(
    file: Path, tmp_path: Path, brain: Callable[..., int], own: str, there: str
) -> None:
    await a_damaged_one(file, tmp_path, brain, table="note_texts", damaged=there == "a damaged one")
    copy = tmp_path / "copy.db"
    if "by the name" in own:
        do(copy, "DROP TRIGGER notes_fts_text" if "trigger" in own else "DROP TABLE note_links")
    do(copy, ITS_OWN[own])
    if there == "none":
        for path in file.parent.glob("brain.db*"):
            path.unlink()
    before = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    assert brain("restore", copy) in (1, 2)
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == before


async def a_damaged_one(
    file: Path, tmp_path: Path, brain: Callable[..., int], *, table: str, damaged: bool = True
) -> None:
    """A database with a backup beside it, and then with a page of `table` that nobody can read."""
    store = await open_store(file, now=Clock(), new_id=counting_ids())
    await add(store, "Before")
    do(file, SHUT, "old@home.example", 1.0)
    assert brain("backup", tmp_path / "copy.db") == 0
    do(file, SHUT, "eve@contractor.example", 2.0)
    await store.close()
    if not damaged:
        return
    with closing(sqlite3.connect(file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as raw:
        raw.seek((page - 1) * size)
        raw.write(b"\xff" * size)


async def test_a_damaged_database_is_replaced_with_what_the_doors_know_of_it(
    file: Path, tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    await a_damaged_one(file, tmp_path, brain, table="note_texts")
    assert brain("restore", tmp_path / "copy.db") == 0
    assert await titles_in(file) == ["Before"]
    assert [row[0] for row in doors(file)["denies"]] == ["old@home.example", "eve@contractor.example"]  # type: ignore[index]
    assert "are those of the backup" not in capsys.readouterr().out


async def test_what_a_damaged_database_has_lost_is_said(
    file: Path, tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    await a_damaged_one(file, tmp_path, brain, table="denies")
    assert brain("restore", tmp_path / "copy.db") == 0
    assert "the kill switch are those of the backup" in capsys.readouterr().out
    assert [row[0] for row in doors(file)["denies"]] == ["old@home.example"]  # type: ignore[index]


async def test_a_damaged_database_is_not_replaced_under_a_running_server(
    file: Path, tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    await a_damaged_one(file, tmp_path, brain, table="note_texts")
    with closing(sqlite3.connect(file)) as server:
        server.execute("SELECT count(*) FROM denies").fetchall()
        assert brain("restore", tmp_path / "copy.db") == 2
    assert "Stop the server" in capsys.readouterr().err
    assert not list(file.parent.glob("brain.db.before-*"))


def told(capsys: pytest.CaptureFixture[str], tmp_path: Path, *words: str) -> str:
    env_file = tmp_path / "env"
    env_file.write_text(f"DATA_DIR={tmp_path / 'data'}\n")
    assert main(["--env-file", str(env_file), *words]) == 0
    return capsys.readouterr().out


def test_the_audit_log_goes_on_over_a_restore_and_verify_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = str(tmp_path / "copy.db")
    told(capsys, tmp_path, "deny", "tool:search")
    told(capsys, tmp_path, "backup", copy)
    told(capsys, tmp_path, "deny", "tool:fetch")
    told(capsys, tmp_path, "restore", copy)
    assert told(capsys, tmp_path, "audit", "verify") == "ok  4 records, one chain\n"
    commands = [line.split()[5] for line in told(capsys, tmp_path, "audit", "tail").splitlines()]
    assert commands == ["brain/deny", "brain/backup", "brain/deny", "brain/restore"]


def test_verify_tells_where_a_backup_took_the_place_of_the_whole_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = str(tmp_path / "copy.db")
    told(capsys, tmp_path, "deny", "tool:search")
    told(capsys, tmp_path, "backup", copy)
    for path in (tmp_path / "data").glob("brain.db*"):
        path.unlink()
    assert "so the audit log, the kill switch, the OAuth grants are those of the backup" in told(
        capsys, tmp_path, "restore", copy
    )
    said = told(capsys, tmp_path, "audit", "verify")
    assert said.startswith("ok  2 records, one chain\n    record 2: a backup came in the place of the whole")
    assert '"restored_at": [2]' in told(capsys, tmp_path, "audit", "verify", "--json")
