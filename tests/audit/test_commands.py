"""`brain audit` and `brain deny` as people and scripts see them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from app.audit.events import Event
from app.cli.main import main
from app.store.audit import SqlAudit, sealing_key
from app.store.open import open_store

from .chains import AT, event
from .conftest import no_ids
from .golden_text import same_as_golden
from .tables import change, lines_in

HOUR = 3_600_000
CALLS = (
    Event("tunnel", "sign-in", "alice@example.com", "allow", "r1", "ray1", "alice@example.com", "person"),
    Event("tunnel", "tools/call", "create_note", "allow", "r1", "ray1", "alice@example.com", "person",
          reason="writers: e-mail is alice@example.com"),
    Event("tunnel", "tools/call", "delete_note", "deny", "r2", "ray2", "bob@example.com", "person",
          reason="no rule of the policy names this principal", status=403),
    Event("lan", "door", "GET /mcp", "refuse", "r3", reason="misrouted header cf-ray", status=421),
    Event("lan", "resources/read", "note://\x1b[31m\n7", "allow", "r4", principal="lan", kind="lan"),
)  # fmt: skip


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """Settings for a folder with five records of a while ago."""

    async def fill() -> None:
        store = await open_store(tmp_path / "brain.db", now=lambda: 0.0, new_id=no_ids)
        audit = SqlAudit(store.database, sealing_key(tmp_path / "audit.key"))
        await audit.append([(AT + n * HOUR, call) for n, call in enumerate(CALLS)])
        await store.close()

    asyncio.run(fill())
    file = tmp_path / "env"
    file.write_text(f"DATA_DIR={tmp_path}\n")
    return file


def said(capsys: pytest.CaptureFixture[str], env_file: Path, *words: str) -> tuple[int, str]:
    code = main(["--env-file", str(env_file), *words])
    told = capsys.readouterr()
    return code, (told.out + told.err).replace(str(env_file.parent), "DATA_DIR")


FAULTS = {
    "changed": ("UPDATE audit SET name = 'search' WHERE seq = 3",),
    "missing": ("DELETE FROM audit WHERE seq = 3",),
    "swapped": (
        "UPDATE audit SET seq = 9 WHERE seq = 2",
        "UPDATE audit SET seq = 2 WHERE seq = 3",
        "UPDATE audit SET seq = 3 WHERE seq = 9",
    ),
    "tail-cut": ("DELETE FROM audit WHERE seq > 3",),
    "head-cut": ("DELETE FROM audit WHERE seq < 3",),
    "unsealed": ("DELETE FROM audit_head",),
    "resealed": ("UPDATE audit_head SET seal = hash",),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_verify_names_the_first_record_that_does_not_hold(
    capsys: pytest.CaptureFixture[str], env_file: Path, fault: str
) -> None:
    change(env_file.with_name("brain.db"), *FAULTS[fault])
    code, text = said(capsys, env_file, "audit", "verify")
    assert code == 1
    assert same_as_golden(f"verify-{fault}.txt", text)
    code, text = said(capsys, env_file, "audit", "verify", "--json")
    told = json.loads(text)
    assert (code, told["ok"], sorted(told)) == (1, False, ["ok", "seq", "what"])


def test_verify_of_a_whole_log(capsys: pytest.CaptureFixture[str], env_file: Path) -> None:
    code, text = said(capsys, env_file, "audit", "verify")
    assert code == 0
    assert same_as_golden("verify-ok.txt", text)
    assert said(capsys, env_file, "audit", "verify", "--json") == (
        0,
        '{"ok": true, "records": 5, "restored_at": []}\n',
    )


def test_verify_of_a_log_that_another_key_has_sealed_from_then_on(
    capsys: pytest.CaptureFixture[str], env_file: Path
) -> None:
    env_file.with_name("audit.key").unlink()
    code, text = said(capsys, env_file, "audit", "verify")
    assert code == 2
    assert same_as_golden("verify-no-key.txt", text)
    assert not env_file.with_name("audit.key").exists()
    said(capsys, env_file, "deny", "tool:search")  # makes a new one
    code, text = said(capsys, env_file, "audit", "verify")
    assert code == 1
    assert same_as_golden("verify-another-key.txt", text)


def test_verify_without_a_database_is_a_mistake_and_makes_none(
    capsys: pytest.CaptureFixture[str], env_file: Path
) -> None:
    env_file.with_name("brain.db").unlink()
    code, text = said(capsys, env_file, "audit", "verify")
    assert (code, text) == (
        2,
        "brain: There is no database at DATA_DIR/brain.db. Check DATABASE_URL and DATA_DIR.\n",
    )
    assert not env_file.with_name("brain.db").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tail", ["tail"]),
        ("tail-2", ["tail", "-n", "2"]),
        ("tail-json", ["tail", "-n", "3", "--json"]),
        ("search-who", ["search", "--who", "Alice@example.com"]),
        ("search-tool", ["search", "--tool", "delete_note"]),
        ("search-decision", ["search", "--decision", "refuse"]),
        ("search-ray", ["search", "--cf-ray", "ray1"]),
        ("search-request", ["search", "--request-id", "r4"]),
        ("search-json", ["search", "--who", "bob@example.com", "--json"]),
        ("search-nothing", ["search", "--who", "eve@example.com"]),
    ],
)
def test_what_is_printed_of_the_log(
    capsys: pytest.CaptureFixture[str], env_file: Path, name: str, words: list[str]
) -> None:
    code, text = said(capsys, env_file, "audit", *words)
    assert code == 0
    assert "\x1b" not in text
    assert same_as_golden(f"{name}.txt", text)


def test_search_by_time(capsys: pytest.CaptureFixture[str], env_file: Path) -> None:
    now = int(time.time() * 1000)

    async def add() -> None:
        store = await open_store(env_file.with_name("brain.db"), now=lambda: 0.0, new_id=no_ids)
        audit = SqlAudit(store.database, sealing_key(env_file.with_name("audit.key")))
        await audit.append([(now - hours * HOUR, event(f"{hours} hours ago")) for hours in (49, 3, 0)])
        await store.close()

    asyncio.run(add())

    def found(*words: str) -> list[str]:
        lines = said(capsys, env_file, "audit", "search", "--json", *words)[1].splitlines()
        return [json.loads(line)["name"].partition(" ")[0] for line in lines if "ago" in line]

    assert found("--since", "1h") == ["0"]
    assert found("--since", "2d") == ["3", "0"]
    assert found("--until", "150m") == ["49", "3"]
    assert found("--since", "1w", "--until", "1d") == ["49"]
    for length in ("1", "h", "1y", "-1h", "9999999h"):
        code, text = said(capsys, env_file, "audit", "search", f"--since={length}")
        assert (code, "write a length of time" in text) == (2, True)


def test_an_export_is_every_record_in_a_new_file_for_its_owner_and_goes_on_record(
    capsys: pytest.CaptureFixture[str], env_file: Path
) -> None:
    out = env_file.with_name("out.jsonl")
    assert said(capsys, env_file, "audit", "export", str(out)) == (0, "5 records exported.\n")
    assert out.stat().st_mode & 0o777 == 0o600
    exported = [json.loads(line) for line in out.read_text().splitlines()]
    stored = lines_in(env_file.with_name("brain.db"))
    assert exported == stored[:5]
    assert (stored[5]["operation"], stored[5]["door"]) == ("brain/audit/export", "cli")
    code, text = said(capsys, env_file, "audit", "export", str(out))
    assert (code, text) == (2, "brain: DATA_DIR/out.jsonl exists; name a new file\n")
    code, text = said(capsys, env_file, "audit", "export", "--decision", "deny")
    assert (code, [json.loads(line)["seq"] for line in text.splitlines()]) == (0, [3])


def test_a_deny_of_a_tool_that_is_not_there_says_so_and_counts(
    capsys: pytest.CaptureFixture[str], env_file: Path
) -> None:
    code, text = said(capsys, env_file, "deny", "tool:create_notes")
    assert code == 0
    assert "no tool is named create_notes at the moment; did you mean tool:create_note?" in text
    assert "tool:create_notes" in said(capsys, env_file, "deny")[1]


def test_a_command_that_did_not_do_what_it_was_told_is_on_record_as_refused(
    capsys: pytest.CaptureFixture[str], env_file: Path
) -> None:
    assert said(capsys, env_file, "restore", "nothing.db")[0] == 2
    (line,) = said(capsys, env_file, "audit", "tail", "-n", "1")[1].splitlines()
    assert re.search(r"refuse  cli .* brain/restore nothing.db  400  \(exit code 2\)$", line)


def test_deny_says_what_it_did_lists_it_and_takes_it_back(
    capsys: pytest.CaptureFixture[str], env_file: Path
) -> None:
    assert said(capsys, env_file, "deny") == (0, "Nothing and nobody is shut off.\n")
    code, text = said(capsys, env_file, "deny", "Alice@Example.com")
    assert (code, text) == (
        0,
        "alice@example.com is shut off. Take it back with: brain undeny alice@example.com\n",
    )
    code, text = said(capsys, env_file, "deny", "--json")
    assert (code, [entry["target"] for entry in json.loads(text)]) == (0, ["alice@example.com"])
    assert said(capsys, env_file, "undeny", "alice@example.com") == (
        0,
        "alice@example.com is no longer shut off.\n",
    )
    assert said(capsys, env_file, "undeny", "alice@example.com") == (
        1,
        "alice@example.com was not shut off.\n",
    )
    on_record = lines_in(env_file.with_name("brain.db"), "door = 'cli'")
    assert [(line["operation"], line["name"], line["status"]) for line in on_record] == [
        ("brain/deny", "alice@example.com", 200),
        ("brain/undeny", "alice@example.com", 200),
    ]


@pytest.mark.parametrize("who", ["lan", "door:lan", "create_note", "alice"])
def test_a_deny_of_nobody_or_of_the_way_back_in_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], env_file: Path, who: str
) -> None:
    code, text = said(capsys, env_file, "deny", who)
    assert code == 2
    assert same_as_golden(f"deny-{who.replace(':', '-')}.txt", text)
    assert len(lines_in(env_file.with_name("brain.db"))) == 5


def test_a_pruned_log_is_whole(capsys: pytest.CaptureFixture[str], env_file: Path) -> None:
    async def prune() -> None:
        store = await open_store(env_file.with_name("brain.db"), now=lambda: 0.0, new_id=no_ids)
        audit = SqlAudit(store.database, sealing_key(env_file.with_name("audit.key")))
        assert await audit.prune(AT + 5 * HOUR, older_than=AT + 2 * HOUR, keep_bytes=2**20) == 2
        await store.close()

    asyncio.run(prune())
    assert said(capsys, env_file, "audit", "verify") == (0, "ok  4 records, one chain\n")
