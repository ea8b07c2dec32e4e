"""`brain notes import` and `brain notes export`: a folder and the Brain, and nothing lost between them."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli import notes
from app.notes.models import Note
from app.store.notes import SqlNotes
from app.store.open import open_store

from .conftest import LAN, Clock, counting_ids

SAMPLES = Path(__file__).parent.parent / "notes" / "samples"
CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "mcp-docs"


@dataclass(frozen=True)
class Where:
    data_dir: Path
    database_url: str


@dataclass(frozen=True)
class Brain:
    """The command line, and the store beside it."""

    file: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str | Path) -> tuple[int, dict[str, Any]]:
        parser = argparse.ArgumentParser()
        notes.register(parser.add_subparsers())
        args = parser.parse_args(["notes", *(str(word) for word in words), "--json"])
        code = args.run(args, Where(self.file.parent, f"sqlite:///{self.file}"))
        out = self.capsys.readouterr().out
        return code, json.loads(out) if out else {}

    async def within(self, work: Callable[[SqlNotes], Awaitable[Any]]) -> Any:
        store = await open_store(self.file, now=Clock(), new_id=counting_ids())
        try:
            return await work(store.notes)
        finally:
            await store.close()

    async def notes(self) -> dict[str, Note]:
        async def all_notes(store: SqlNotes) -> dict[str, Note]:
            page = await store.list(LAN, space=None, tag=None, order="created", limit=200, cursor=None)
            return {note.title: await store.get(LAN, note.id) for note in page.items}

        found: dict[str, Note] = await self.within(all_notes)
        return found

    async def append(self, title: str, text: str) -> None:
        note = (await self.notes())[title]
        await self.within(lambda store: store.append(LAN, note.id, text))


@pytest.fixture
def brain(file: Path, capsys: pytest.CaptureFixture[str]) -> Brain:
    return Brain(file, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def counts(result: dict[str, Any]) -> dict[str, int]:
    return {name: number for name, number in result.items() if name != "problems" and number}


async def test_a_folder_is_imported_with_titles_tags_and_links(brain: Brain) -> None:
    code, result = brain("import", SAMPLES)
    assert (code, counts(result)) == (0, {"added": 7})
    garden = (await brain.notes())["Garden"]
    assert garden.tags == ("Plants", "outdoor")
    links, _ = await brain.within(lambda store: store.links(LAN, garden))
    assert [link.title for link in links] == ["Kitchen", "Tools"]


@pytest.mark.parametrize("source", [SAMPLES, CORPUS], ids=["samples", "corpus"])
def test_what_is_exported_unchanged_is_equal_to_the_byte(brain: Brain, folder: Path, source: Path) -> None:
    if not source.is_dir():
        pytest.skip("the corpus is not beside this copy of the project")
    number = len(files(source))
    assert counts(brain("import", source)[1]) == {"added": number}
    assert counts(brain("export", folder)[1]) == {"added": number}
    assert files(folder) == files(source)
    assert counts(brain("import", source)[1]) == {"unchanged": number}
    assert counts(brain("import", folder)[1]) == {"unchanged": number}
    assert counts(brain("export", folder)[1]) == {"unchanged": number}


async def test_a_changed_file_updates_its_note_and_keeps_the_old_text(brain: Brain, folder: Path) -> None:
    (folder / "a.md").write_text("# A\n\nold [[x]] #1\n")
    brain("import", folder, "--space", "work")
    (folder / "a.md").write_text("---\ntags: [t]\n---\n# A\n\nnew\n")
    code, result = brain("import", folder)
    assert (code, counts(result)) == (0, {"updated": 1})
    note = (await brain.notes())["A"]
    assert (note.version, note.space, note.tags, note.text) == (2, "work", ("t",), "# A\n\nnew\n")
    history = await brain.within(lambda store: store.history(LAN, note.id))
    assert [(past.action, past.size) for past in history] == [("import", 9), ("import", 18)]
    old = await brain.within(lambda store: store.revision(LAN, note.id, 1))
    assert old.text == "# A\n\nold [[x]] #1\n"
    found = await brain.within(
        lambda store: store.search(LAN, "new -old tag:t", space=None, tags=(), limit=5, cursor=None)
    )
    assert len(found.items) == 1


async def test_where_both_have_changed_nothing_is_overwritten_without_force(
    brain: Brain, folder: Path
) -> None:
    (folder / "a.md").write_text("# A\n")
    brain("import", folder)
    await brain.append("A", "in the Brain")
    (folder / "a.md").write_text("# A\nin the file\n")
    code, result = brain("import", folder)
    assert (code, counts(result)) == (1, {"conflict": 1})
    assert result["problems"][0]["path"] == "a.md"
    assert (await brain.notes())["A"].text == "# A\nin the Brain"
    code, result = brain("export", folder)
    assert (code, counts(result)) == (1, {"conflict": 1})
    assert (folder / "a.md").read_text() == "# A\nin the file\n"
    assert counts(brain("import", folder, "--force")[1]) == {"updated": 1}
    assert (await brain.notes())["A"].text == "# A\nin the file\n"


async def test_a_file_that_says_what_the_note_says_is_no_conflict(brain: Brain, folder: Path) -> None:
    (folder / "a.md").write_text("# A\n")
    brain("import", folder)
    await brain.append("A", "more")
    (folder / "a.md").write_text("# A\nmore")
    assert counts(brain("import", folder)[1]) == {"unchanged": 1}


async def test_a_changed_note_is_exported_again_and_again(brain: Brain, folder: Path) -> None:
    (folder / "a.md").write_text("---\nkey: kept\n---\n# A\n")
    brain("import", folder)
    for turn in ("one", "two"):
        await brain.append("A", turn)
        assert counts(brain("export", folder)[1]) == {"updated": 1}
        assert counts(brain("import", folder)[1]) == {"unchanged": 1}
    assert (folder / "a.md").read_text() == "---\nkey: kept\n---\n# A\none\ntwo"


async def test_notes_of_the_brain_get_files_that_can_be_imported_again(brain: Brain, folder: Path) -> None:
    async def write(store: SqlNotes) -> None:
        for title, space in (
            ("Plan: ../x", "main"),
            ("Plan/../x", "main"),
            ("Plan", "work"),
            ("---", "work"),
        ):
            await store.add(LAN, title=title, text="---\ntitle: no\n---\ntext", tags=("t",), space=space)

    await brain.within(write)
    assert counts(brain("export", folder)[1]) == {"added": 4}
    assert sorted(files(folder)) == [
        "main/Plan- ..-x.md",
        "main/Plan-..-x.md",
        "work/Plan.md",
        "work/note.md",
    ]
    assert counts(brain("import", folder)[1]) == {"unchanged": 4}
    assert len(await brain.notes()) == 4
    shutil.rmtree(brain.file.parent)  # into an empty Brain
    assert counts(brain("import", folder)[1]) == {"added": 4}
    assert set(await brain.notes()) == {"Plan: ../x", "Plan/../x", "Plan", "---"}


def test_a_broken_file_is_named_and_the_rest_is_imported(brain: Brain, folder: Path) -> None:
    (folder / "good.md").write_text("fine")
    (folder / "binary.md").write_bytes(b"\xff\xfe\x00")
    (folder / "long.md").write_bytes(b"x" * (1024 * 1024 + 1))
    (folder / "yaml.md").write_text("---\ntitle: [\n---\n")
    (folder / "folder.md").mkdir()
    (folder / ".hidden.md").write_text("hidden")
    (folder / "other.txt").write_text("no Markdown")
    os.mkfifo(folder / "pipe.md")
    code, result = brain("import", folder)
    assert (code, counts(result)) == (1, {"added": 1, "skipped": 4})
    assert [problem["path"] for problem in result["problems"]] == [
        "binary.md",
        "long.md",
        "pipe.md",
        "yaml.md",
    ]
    assert all(problem["why"].endswith(".") for problem in result["problems"])


def test_links_that_lead_out_of_the_folder_are_not_followed(
    brain: Brain, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "outside").mkdir()
    (folder / "inside.md").write_text("inside")
    (folder / "again.md").symlink_to(folder / "inside.md")
    (folder / "out.md").symlink_to(tmp_path / "secret.md")
    (folder / "loop").symlink_to(folder)
    code, result = brain("import", folder)
    assert (code, counts(result)) == (1, {"added": 2, "skipped": 1})
    target = tmp_path / "target"
    target.mkdir()
    (target / "main").symlink_to(tmp_path / "outside")
    (target / "inside.md").symlink_to(tmp_path / "secret.md")
    brain("export", target)
    assert (tmp_path / "secret.md").read_text() == "secret"
    assert list((tmp_path / "outside").iterdir()) == []


def test_wrong_usage_is_exit_code_2_with_what_to_do(brain: Brain, folder: Path) -> None:
    (folder / "file").write_text("")
    assert brain("import", folder / "missing")[0] == 2
    assert brain("import", folder, "--space", "a b")[0] == 2
    assert brain("export", folder / "file")[0] == 2
