"""`brain backup`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
