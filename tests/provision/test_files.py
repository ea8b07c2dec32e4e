"""What is kept on this machine: whole, for its owner alone, and by one process at a time."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from app.provision.files import AtWork, StateUnusable, TunnelFiles
from app.provision.state import State

from .desk import HOST, Desk

STATE = State(HOST, "account", "zone", "example.com", "acme", "access", auds=("0" * 64,))


def test_a_state_is_read_as_it_was_kept(tmp_path: Path) -> None:
    files = TunnelFiles(tmp_path / "data" / "tunnel")
    assert files.state() is None
    state = STATE.with_id("policy", "family", "p-1").with_id("tunnel", "t", "t-1")
    files.keep_state(state)
    assert files.state() == state
    assert state.without_id("policy", "p-1").known("policy") == ()
    for folder in (files.folder, files.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in files.folder.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "pending": null}'])
def test_a_state_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path, text: str) -> None:
    files = TunnelFiles(tmp_path)
    files.state_file.write_text(text)
    with pytest.raises(StateUnusable, match="Move it away"):
        files.state()


async def test_two_at_once_do_not_get_in_each_others_way(desk: Desk) -> None:
    with desk.files.locked(), pytest.raises(AtWork):
        await desk.apply()
    assert not desk.run.writes()
    await desk.apply()


def test_a_token_that_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    files = TunnelFiles(tmp_path)
    files.keep_token("one")
    before = files.token_file.stat().st_ino
    files.keep_token("one")
    assert files.token_file.stat().st_ino == before
    files.keep_token("two")
    assert files.token_file.read_text() == "two"


def test_whatever_is_written_is_for_its_owner_alone(tmp_path: Path) -> None:
    files = TunnelFiles(tmp_path)
    for file in (files.config_file, files.token_file):
        file.write_text("before")
        file.chmod(0o644)
    assert files.keep_config("ingress: []") == files.config_file
    files.keep_token("one")
    for file in (files.config_file, files.token_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yml", "token"]


def test_a_link_that_waits_for_a_file_to_be_written_is_not_followed(tmp_path: Path) -> None:
    files, elsewhere = TunnelFiles(tmp_path / "tunnel"), tmp_path / "elsewhere"
    files.folder.mkdir()
    for name in (".token.new", "token"):
        (files.folder / name).symlink_to(elsewhere)
    files.keep_token("one")
    assert not elsewhere.exists()
    assert not files.token_file.is_symlink()


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    files = TunnelFiles(tmp_path)
    files.config_file.mkdir()
    with pytest.raises(StateUnusable, match="cannot be written"):
        files.keep_config("ingress: []")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yml"]


def test_what_a_killed_process_left_is_forgotten_too(tmp_path: Path) -> None:
    files = TunnelFiles(tmp_path)
    kept = files.keep_service_token("nightly", {"client_secret": "s3cret"})
    kept.rename(kept.with_name(".nightly.json.x.new"))
    (tmp_path / ".token.x.new").write_text("one")
    files.forget()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tunnel").write_text("a file is in the way")
    files = TunnelFiles(tmp_path / "tunnel")
    with pytest.raises(StateUnusable, match="cannot be written"):
        files.keep_state(STATE)
    with pytest.raises(StateUnusable, match="cannot be used"), files.locked():
        pass
