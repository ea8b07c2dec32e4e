"""The schema: made at once or by migrations, the same; and what is refused."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.store.engine import StoreUnusable, sqlite_path, sync_engine, writing
from app.store.open import open_store
from app.store.schema import MIGRATIONS, _migrate, ensure_schema
from app.store.tables import KNOWN_SCHEMAS, SCHEMA

from .conftest import LAN, Clock, counting_ids


def shape(file: Path) -> dict[str, object]:
    """Tables, columns, keys, indexes and triggers, without the wording of the statements."""
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall()
        found: dict[str, object] = {"names": sorted(names)}
        for kind, name, _ in names:
            if kind in ("table", "view"):
                for pragma in ("table_xinfo", "foreign_key_list", "index_list"):
                    rows = connection.execute(f"PRAGMA {pragma}({name})").fetchall()
                    found[f"{pragma} {name}"] = sorted(row[pragma == "index_list" :] for row in rows)
            elif kind == "index":
                found[f"index {name}"] = connection.execute(f"PRAGMA index_xinfo({name})").fetchall()
            else:
                sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
                found[f"trigger {name}"] = sql
        found["rowid"] = sorted(
            name for kind, name, _ in names if kind == "table" and "WITHOUT ROWID" in _sql(connection, name)
        )
        found["search"] = [_sql(connection, name) for name in ("notes_fts", "note_contents")]
        return found


def _sql(connection: sqlite3.Connection, name: str) -> str:
    return str(connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])


def test_migrations_lead_to_the_tables_of_a_new_database(tmp_path: Path) -> None:
    ensure_schema(tmp_path / "new.db")
    engine = sync_engine(tmp_path / "migrated.db")
    with writing(engine) as connection:
        _migrate(connection)
    engine.dispose()
    assert shape(tmp_path / "migrated.db") == shape(tmp_path / "new.db")


def test_the_known_schemas_are_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(scripts)) == KNOWN_SCHEMAS
    assert KNOWN_SCHEMAS[-1] == SCHEMA


def test_alembic_is_not_loaded_to_open_a_database(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from app.store.schema import ensure_schema; "
        f"ensure_schema(pathlib.Path({str(tmp_path / 'x.db')!r})); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_a_database_is_for_its_owner_alone(file: Path, clock: Clock) -> None:
    store = await open_store(file, now=clock, new_id=counting_ids())
    await store.notes.add(LAN, title="T", text="", tags=(), space="main")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    await store.close()
    assert modes == {"brain.db": 0o600, "brain.db-wal": 0o600, "brain.db-shm": 0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_database_of_a_newer_version_is_refused_with_what_to_do(file: Path) -> None:
    ensure_schema(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnusable, match="update Brain MCP, or restore"):
        ensure_schema(file)


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE bookmarks (x)")
    with pytest.raises(StoreUnusable, match="another program"):
        ensure_schema(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("not a database " * 100)
    with pytest.raises(StoreUnusable, match="not a usable SQLite database"):
        ensure_schema(tmp_path / "text.db")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        ensure_schema(tmp_path / "file" / "brain.db")


@pytest.mark.parametrize(
    "url", ["postgresql://h/db", "sqlite://", "sqlite:///:memory:", "sqlite:///x?mode=ro"]
)
def test_only_a_sqlite_file_is_accepted(url: str) -> None:
    with pytest.raises(StoreUnusable, match="sqlite:///"):
        sqlite_path(url)


def test_the_url_of_a_file_is_its_path() -> None:
    assert sqlite_path("sqlite:////srv/brain/brain.db") == Path("/srv/brain/brain.db")
