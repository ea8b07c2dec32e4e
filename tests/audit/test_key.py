"""The key that seals the end of the log: made once, never replaced, and told when it is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.audit.chain import Fault
from app.errors import AppError
from app.store.audit import SqlAudit, known_key, sealing_key
from app.store.audit_check import verify_file

from .chains import AT, event
from .conftest import Log


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "audit.key"
    key = sealing_key(file)
    assert (len(key), file.stat().st_mode & 0o777) == (32, 0o600)
    assert sealing_key(file) == known_key(file) == key
    assert [one.name for one in file.parent.iterdir()] == ["audit.key"]


@pytest.mark.parametrize("content", ["", "no hex", "ab" * 31, "\udcff"])
def test_a_key_that_is_none_is_a_clear_error_and_is_never_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "audit.key"
    file.write_text(content, errors="surrogateescape")
    before = file.read_bytes()
    with pytest.raises(AppError, match=r"audit.key is not a usable key .*Restore it from a backup"):
        sealing_key(file)
    assert file.read_bytes() == before


def test_a_missing_key_is_a_clear_error_for_who_verifies(tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"audit.key is not a usable key \(No such file or directory\)"):
        known_key(tmp_path / "audit.key")


async def test_a_log_sealed_with_another_key_is_told_from_then_on(log: Log) -> None:
    await log.add(2)
    other = SqlAudit(log.store.database, b"o" * 32)
    assert verify_file(log.file, other.key) == Fault(2, "the seal at the end of the chain is not ours")
    await other.append([(AT, event())])
    assert verify_file(log.file, other.key) == Fault(
        3, "the end of the chain before this record was not sealed with our key"
    )
