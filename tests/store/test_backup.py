"""`brain backup` and `brain restore`."""

from __future__ import annotations

import argparse
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.cli import backup
from app.store.denies import SqlDenies
from app.store.open import Store, open_store

from .conftest import LAN, Clock, counting_ids


@dataclass(frozen=True)
class Where:
    data_dir: Path
    database_url: str


@pytest.fixture
def brain(file: Path) -> Callable[..., int]:
    parser = argparse.ArgumentParser()
    backup.register(parser.add_subparsers())

    def run(*words: str | Path) -> int:
        args = parser.parse_args([str(word) for word in words])
        return int(args.run(args, Where(file.parent, f"sqlite:///{file}")))

    return run


async def titles(file: Path) -> list[str]:
    store = await open_store(file, now=Clock(), new_id=counting_ids())
    try:
        page = await store.notes.list(LAN, space=None, tag=None, order="title", limit=50, cursor=None)
    finally:
        await store.close()
    return [note.title for note in page.items]


async def add(store: Store, title: str) -> None:
    await store.notes.add(LAN, title=title, text="", tags=(), space="main")


async def test_a_restore_brings_back_the_backup_and_keeps_what_was_there(
    file: Path, tmp_path: Path, clock: Clock, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    store = await open_store(file, now=clock, new_id=counting_ids())
    await add(store, "Before")
    assert brain("backup", tmp_path / "copy.db") == 0
    assert "Backed up 1 notes" in capsys.readouterr().out
    await add(store, "After")
    assert brain("restore", tmp_path / "copy.db") == 2
    assert "Stop the server" in capsys.readouterr().err
    await store.close()
    assert brain("restore", tmp_path / "copy.db") == 0
    assert await titles(file) == ["Before"]
    (kept,) = file.parent.glob("brain.db.before-*")
    assert str(kept) in capsys.readouterr().out
    assert await titles(kept) == ["After", "Before"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "copy.db", file, kept))


async def test_a_restore_opens_no_door_that_was_shut_since_the_backup(
    file: Path, tmp_path: Path, clock: Clock, brain: Callable[..., int]
) -> None:
    store = await open_store(file, now=clock, new_id=counting_ids())
    await add(store, "Before")
    await SqlDenies(store.database).add("old@home.example", at=1.0, by="root")
    assert brain("backup", tmp_path / "copy.db") == 0
    await SqlDenies(store.database).add("eve@contractor.example", at=2.0, by="root")
    await SqlDenies(store.database).delete("old@home.example")
    await store.close()
    assert brain("restore", tmp_path / "copy.db") == 0
    store = await open_store(file, now=clock, new_id=counting_ids())
    try:
        shut = {entry.target for entry in await SqlDenies(store.database).list()}
    finally:
        await store.close()
    assert shut == {"old@home.example", "eve@contractor.example"}


async def test_a_backup_is_one_file_and_never_overwrites(
    opened: Store, tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    await add(opened, "A note")
    assert brain("backup", folder / "one.db", "--json") == 0
    assert '"notes": 1' in capsys.readouterr().out
    before = (folder / "one.db").read_bytes()
    assert brain("backup", folder / "one.db") == 2
    assert "never overwrites" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["one.db"]
    assert (folder / "one.db").read_bytes() == before


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
    with closing(sqlite3.connect(tmp_path / "other")) as connection, connection:
        connection.execute("CREATE TABLE x (y)")
    for name in ("text", "empty", "torn", "damaged", "other", "missing"):
        assert brain("restore", tmp_path / name) in (1, 2), name
    assert brain("restore", file) == 2
    assert await titles(file) == ["Mine"]
    assert sorted(path.name for path in file.parent.iterdir()) == ["brain.db"]


def test_there_is_nothing_to_back_up_before_the_first_note(
    tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert brain("backup", tmp_path / "copy.db") == 2
    assert "There is no database" in capsys.readouterr().err
    assert not (tmp_path / "copy.db").exists()
