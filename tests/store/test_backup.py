"""`brain backup`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.store.backup import check
from app.store.open import Store

from .conftest import LAN


async def test_a_backup_is_one_file_and_never_overwrites(
    opened: Store, tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    await opened.notes.add(LAN, title="A note", text="", tags=(), space="main")
    assert brain("backup", folder / "one.db", "--json") == 0
    assert '"notes": 1' in capsys.readouterr().out
    before = (folder / "one.db").read_bytes()
    assert brain("backup", folder / "one.db") == 2
    assert "never overwrites" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["one.db"]
    assert (folder / "one.db").read_bytes() == before


def test_there_is_nothing_to_back_up_before_the_first_note(
    tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert brain("backup", tmp_path / "copy.db") == 2
    assert "There is no database" in capsys.readouterr().err
    assert not (tmp_path / "copy.db").exists()


async def test_in_a_folder_a_backup_is_named_by_the_time_and_only_the_newest_stay(
    opened: Store, tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    others = [folder / "brain.db", folder / "brain-old.db", folder / "letter.txt"]
    old = [folder / f"brain-2020010{day}T033000Z.db" for day in (1, 2, 3)]
    for path in (*others, *old):
        path.write_text("not a backup of today")
    await opened.notes.add(LAN, title="A note", text="", tags=(), space="main")
    assert brain("backup", "--keep", "2", folder) == 0
    assert "Removed 2 older." in capsys.readouterr().out
    (new,) = set(folder.iterdir()) - {*others, old[2]}
    assert re.fullmatch(r"brain-20\d{6}T\d{6}Z\.db", new.name)
    assert check(new).notes == 1


def test_a_backup_that_fails_removes_no_older_one(tmp_path: Path, brain: Callable[..., int]) -> None:
    old = tmp_path / "brain-20200101T033000Z.db"
    old.write_text("the only one")
    assert brain("backup", "--keep", "1", tmp_path) == 2
    assert old.exists()


async def test_only_a_folder_is_looked_after(
    opened: Store, tmp_path: Path, brain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert brain("backup", "--keep", "2", tmp_path / "copy.db") == 2
    assert "is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "copy.db").exists()
    with pytest.raises(SystemExit):
        brain("backup", "--keep", "0", tmp_path)
