"""Which cloudflared is used: one that is there and good, or the pinned one, downloaded and checked."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.tunnel.binary import (
    Cloudflared,
    CloudflaredMissing,
    CloudflaredRefused,
    DownloadFailed,
    Search,
    download,
    find,
    home,
)
from app.tunnel.releases import ASSETS, FLAWED, MINIMUM, PINNED, Asset, flaw, shown, version_in

from .cloudflareds import program, real, saying
from .mirror import PROGRAM, Mirror, archive, certificate, mirror, proxy

LINUX, MACOS = ("Linux", "x86_64"), ("Darwin", "arm64")
TGZ = archive("LICENSE", "cloudflared")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


SUMS = {
    LINUX: Asset("cloudflared-linux-amd64", sha256(PROGRAM), sha256(PROGRAM)),
    MACOS: Asset("cloudflared-darwin-arm64.tgz", sha256(TGZ), sha256(PROGRAM)),
}


# Found


def test_the_one_that_is_named_has_the_last_word(tmp_path: Path) -> None:
    named = saying(tmp_path / "mine", "2026.9.1")
    saying(tmp_path / "path" / "cloudflared", "2026.10.0")
    found = find(str(named), str(tmp_path / "path"), tmp_path)
    assert found == Search(Cloudflared(named, (2026, 9, 1), "CLOUDFLARED_BIN"))


def test_path_comes_before_what_was_downloaded(tmp_path: Path) -> None:
    on_path = saying(tmp_path / "path" / "cloudflared", "2026.8.2")
    downloaded = saying(home(tmp_path), "2026.10.0")
    assert find("", str(on_path.parent), tmp_path).found == Cloudflared(on_path, (2026, 8, 2), "PATH")
    assert find("", "", tmp_path).found == Cloudflared(downloaded, (2026, 10, 0), "DATA_DIR")


def test_where_none_is_none_is_found(tmp_path: Path) -> None:
    assert find("", str(tmp_path), tmp_path) == Search(None)


REFUSED = ["2024.1.0", "2026.7.1", "2026.8.0", "2026.8.1"]


@pytest.mark.parametrize("version", REFUSED)
def test_a_version_with_a_known_flaw_is_refused_and_why_is_said(tmp_path: Path, version: str) -> None:
    named = saying(tmp_path / "cloudflared", version)
    with pytest.raises(CloudflaredRefused) as refused:
        find(str(named), "", tmp_path)
    assert re.fullmatch(
        rf"CLOUDFLARED_BIN: {named} is cloudflared {version}, which is refused: .*\(VULN-\d+\)\. "
        r"Use 2026\.7\.2 or newer; 2026\.10\.0 is the best known\.",
        refused.value.public,
    )


@pytest.mark.parametrize("version", REFUSED)
def test_a_refused_one_on_the_path_is_passed_over_in_words(tmp_path: Path, version: str) -> None:
    saying(tmp_path / "path" / "cloudflared", version)
    downloaded = saying(home(tmp_path), "2026.10.0")
    search = find("", str(tmp_path / "path"), tmp_path)
    assert search.found == Cloudflared(downloaded, (2026, 10, 0), "DATA_DIR")
    assert f"cloudflared {version}, which is refused" in search.passed_over[0]


@pytest.mark.parametrize("version", ["2026.7.2", "2026.7.3", "2026.8.2", "2026.10.0", "2027.1.0"])
def test_others_are_not(tmp_path: Path, version: str) -> None:
    assert find(str(saying(tmp_path / "cloudflared", version)), "", tmp_path).found is not None


def test_a_build_without_a_number_counts_only_if_it_is_named(tmp_path: Path) -> None:
    own = saying(tmp_path / "path" / "cloudflared", "DEV")
    assert find(str(own), "", tmp_path).found == Cloudflared(own, None, "CLOUDFLARED_BIN")
    search = find("", str(own.parent), tmp_path)
    assert search == Search(None, (f"{own} does not say which version it is.",))


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (None, 0o755, "is no program"),
        ("#!/bin/sh\n", 0o644, "is no program"),
        ("#!/nonexistent\n", 0o755, "cannot be run (FileNotFoundError)"),
        ("\x7fELF", 0o755, "cannot be run (OSError)"),
        ("#!/bin/sh\necho curl 8.1\n", 0o755, "does not answer like cloudflared"),
    ],
)
def test_what_is_named_and_no_cloudflared_is_an_error(
    tmp_path: Path, text: str | None, mode: int, said: str
) -> None:
    named = tmp_path / "cloudflared"
    if text is not None:
        program(named, text).chmod(mode)
    with pytest.raises(CloudflaredMissing) as missing:
        find(str(named), "", tmp_path)
    assert f"CLOUDFLARED_BIN: {named} {said}" in missing.value.public


def test_asking_for_the_version_hands_on_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "s3cret")
    curious = f"#!/bin/sh\nset > {tmp_path}/seen\necho cloudflared version 2026.10.0\n"
    find(str(program(tmp_path / "cloudflared", curious)), "", tmp_path)
    assert "s3cret" not in (tmp_path / "seen").read_text()


def test_the_real_one_says_a_version_that_we_read() -> None:
    found = find(str(real()), "", Path("/nonexistent")).found
    assert found is not None
    assert found.version is not None
    assert found.version >= MINIMUM


# The table


def test_the_pinned_release_is_none_that_we_refuse() -> None:
    pinned = version_in(f"version {PINNED} ")
    assert pinned is not None
    assert flaw(pinned) is None
    assert all(shown(version) in ("2026.8.0", "2026.8.1") for version in FLAWED)


def test_every_sum_is_one_and_no_two_are_the_same() -> None:
    sums = [asset.sha256 for asset in ASSETS.values()]
    assert len(set(sums)) == len(sums) == 4
    for system, asset in ASSETS.items():
        assert re.fullmatch("[0-9a-f]{64}", asset.sha256)
        assert re.fullmatch("[0-9a-f]{64}", asset.executable)
        assert (asset.sha256 == asset.executable) == (system[0] == "Linux")
        assert system[0].lower() in asset.name


# Downloaded


@pytest.fixture
def here() -> Iterator[Mirror]:
    with mirror() as mirrored:
        yield mirrored


def fetch(here: Mirror, folder: Path, system: tuple[str, str] = LINUX, **more: Any) -> Cloudflared:
    timeout = httpx2.Timeout(0.3)
    with httpx2.Client(follow_redirects=True, timeout=timeout, trust_env=False) as http:
        return download(folder, system, http, base=f"http://{here.address}", assets=SUMS, **more)


def left_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_the_pinned_release_is_put_into_data_dir_and_runs(here: Mirror, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    found = fetch(here, tmp_path / "data", progress=lambda done, whole: told.append((done, whole)))
    assert found == Cloudflared(home(tmp_path / "data"), (2026, 10, 0), "DATA_DIR")
    assert found.path.read_bytes() == PROGRAM
    assert here.asked == [f"/{PINNED}/cloudflared-linux-amd64"]
    assert told[0] == (0, len(PROGRAM))
    assert told[-1] == (len(PROGRAM), len(PROGRAM))
    assert left_in(tmp_path) == ["data/bin/cloudflared"]
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert find("", "", tmp_path / "data").found == found


def test_for_macos_it_is_taken_out_of_its_archive_and_checked_again(here: Mirror, tmp_path: Path) -> None:
    here.body = TGZ
    found = fetch(here, tmp_path, MACOS)
    assert found.path.read_bytes() == PROGRAM
    assert left_in(tmp_path) == ["bin/cloudflared"]


def test_redirects_are_followed(here: Mirror, tmp_path: Path) -> None:
    here.trouble = "redirect"
    assert fetch(here, tmp_path).path.read_bytes() == PROGRAM
    assert here.asked[-1] == f"/elsewhere/{PINNED}/cloudflared-linux-amd64"


def test_another_sum_is_refused_and_nothing_of_it_is_run_or_stays(here: Mirror, tmp_path: Path) -> None:
    here.body = PROGRAM.replace(b"echo", f"touch {tmp_path}/run; echo".encode())
    with pytest.raises(DownloadFailed) as failed:
        fetch(here, tmp_path)
    assert f"its SHA-256 is {sha256(here.body)}, and not {sha256(PROGRAM)}" in failed.value.public
    assert "It is removed, and nothing of it was run." in failed.value.public
    assert left_in(tmp_path) == []


def test_what_was_there_stays_when_the_new_one_is_no_good(here: Mirror, tmp_path: Path) -> None:
    saying(home(tmp_path), "2026.8.0")
    here.body = b"something else"
    with pytest.raises(DownloadFailed):
        fetch(here, tmp_path)
    assert left_in(tmp_path) == ["bin/cloudflared"]
    assert "2026.8.0" in home(tmp_path).read_text()


@pytest.mark.parametrize("body", [archive("README"), b"\x1f\x8bno archive", b""])
def test_an_archive_without_a_program_is_an_error(here: Mirror, tmp_path: Path, body: bytes) -> None:
    here.body = body
    sums = {MACOS: Asset("cloudflared-darwin-arm64.tgz", sha256(body), sha256(PROGRAM))}
    with httpx2.Client(trust_env=False) as http, pytest.raises(DownloadFailed) as failed:
        download(tmp_path, MACOS, http, base=f"http://{here.address}", assets=sums)
    assert failed.value.public.startswith("There is no cloudflared in what came from ")
    assert left_in(tmp_path) == []


def test_a_program_of_the_archive_with_another_sum_is_refused(here: Mirror, tmp_path: Path) -> None:
    here.body = TGZ
    sums = {MACOS: Asset("cloudflared-darwin-arm64.tgz", sha256(TGZ), sha256(b"another"))}
    with httpx2.Client(trust_env=False) as http, pytest.raises(DownloadFailed) as failed:
        download(tmp_path, MACOS, http, base=f"http://{here.address}", assets=sums)
    assert f"and not {sha256(b'another')}" in failed.value.public
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("truncated", "127.0.0.1 broke off"),
        ("stalled", "127.0.0.1 does not answer in time"),
        ("busy", "127.0.0.1 answered 503"),
    ],
)
def test_trouble_on_the_way_is_one_sentence_and_the_manual_way(
    here: Mirror, tmp_path: Path, trouble: str, said: str
) -> None:
    here.trouble = trouble
    with pytest.raises(DownloadFailed) as failed:
        fetch(here, tmp_path)
    assert failed.value.public == (
        f"cloudflared 2026.10.0 could not be downloaded: {said}. A proxy is taken from HTTPS_PROXY, its "
        f"certificate from SSL_CERT_FILE. Or by hand: fetch http://{here.address}/2026.10.0/"
        f"cloudflared-linux-amd64 (SHA-256 {sha256(PROGRAM)}), make it executable and put it at "
        f"{home(tmp_path)}."
    )
    assert left_in(tmp_path) == []


def test_no_network_is_said_too(tmp_path: Path) -> None:
    with mirror() as gone:
        pass
    with pytest.raises(DownloadFailed) as failed:
        fetch(gone, tmp_path)
    assert "could not be downloaded: 127.0.0.1 cannot be reached" in failed.value.public


def test_a_machine_that_has_no_release_is_told_what_to_do(here: Mirror, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as failed:
        fetch(here, tmp_path, ("FreeBSD", "amd64"))
    assert "no cloudflared to download for FreeBSD amd64" in failed.value.public
    assert "CLOUDFLARED_BIN" in failed.value.public
    assert here.asked == []


def test_a_folder_that_cannot_be_written_is_said(here: Mirror, tmp_path: Path) -> None:
    (tmp_path / "bin").write_text("a file")
    with pytest.raises(DownloadFailed) as failed:
        fetch(here, tmp_path)
    assert failed.value.public == f"{tmp_path}/bin cannot be written: File exists."


def test_the_proxy_and_the_certificate_of_the_environment_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name leads nowhere, and nobody else trusts the certificate: only by both can it be fetched."""
    trusted, tls = certificate(tmp_path, "releases.example")
    with mirror(tls) as behind, proxy(behind.address) as (address, asked):
        for name in ("NO_PROXY", "no_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", address)
        base = "https://releases.example"
        with httpx2.Client() as http, pytest.raises(DownloadFailed) as failed:
            download(tmp_path / "data", LINUX, http, base=base, assets=SUMS)
        assert "CERTIFICATE_VERIFY_FAILED" in failed.value.public
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        with httpx2.Client() as http:
            found = download(tmp_path / "data", LINUX, http, base=base, assets=SUMS)
    assert found.path.read_bytes() == PROGRAM
    assert asked == ["releases.example:443"] * 2
