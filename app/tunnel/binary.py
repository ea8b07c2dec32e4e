"""The cloudflared of this machine: one that is there, or the pinned release, downloaded and checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx2

from app.errors import AppError
from app.tunnel.releases import ASSETS, DOWNLOADS, MINIMUM, PINNED, Asset, Version, flaw, shown, version_in

# Bytes so far, and of all, if that is known.
Progress = Callable[[int, int | None], None]

MAX_BYTES = 200 * 1024 * 1024
CHUNK = 256 * 1024
ANSWERS_WITHIN = 20.0  # seconds for `cloudflared --version`, on a machine that has just begun to read it


class CloudflaredMissing(AppError):
    code = "cloudflared_missing"


class CloudflaredRefused(AppError):
    code = "cloudflared_refused"


class DownloadFailed(AppError):
    code = "cloudflared_download_failed"


@dataclass(frozen=True, slots=True)
class Cloudflared:
    """`version` is None for a build without a number, which counts only if CLOUDFLARED_BIN names it."""

    path: Path
    version: Version | None
    source: Literal["CLOUDFLARED_BIN", "PATH", "DATA_DIR"]


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, and a sentence for each that was passed over."""

    found: Cloudflared | None
    passed_over: tuple[str, ...] = ()


def home(data_dir: Path) -> Path:
    """Where a downloaded cloudflared is, and where one may be put by hand."""
    return data_dir / "bin" / "cloudflared"


def find(named: str, search_path: str, data_dir: Path) -> Search:
    """`named`: CLOUDFLARED_BIN, which has the last word; then `search_path` (PATH), then DATA_DIR.

    Raises CloudflaredMissing, CloudflaredRefused: for the named one alone.
    """
    if named:
        path = Path(named).expanduser().absolute()
        return Search(Cloudflared(path, _usable(path, "CLOUDFLARED_BIN"), "CLOUDFLARED_BIN"))
    passed_over: list[str] = []
    on_path = shutil.which("cloudflared", path=search_path)
    places: list[tuple[Path, Literal["PATH", "DATA_DIR"]]] = [(home(data_dir), "DATA_DIR")]
    if on_path is not None:
        places.insert(0, (Path(on_path).absolute(), "PATH"))
    for path, source in places:
        if not path.exists():
            continue
        try:
            version = _usable(path, source)
            if version is None:
                raise CloudflaredRefused(f"{path} does not say which version it is.")
            return Search(Cloudflared(path, version, source), tuple(passed_over))
        except AppError as refused:
            passed_over.append(refused.public)
    return Search(None, tuple(passed_over))


def _usable(path: Path, source: str) -> Version | None:
    if not path.is_file() or not os.access(path, os.X_OK):
        raise CloudflaredMissing(f"{source}: {path} is no program. Name the cloudflared to use, or none.")
    try:
        # None of our environment: nothing in it is for this, and some of it is secret.
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=ANSWERS_WITHIN, env={}, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as problem:
        raise CloudflaredMissing(f"{source}: {path} cannot be run ({type(problem).__name__}).") from None
    if "cloudflared" not in said.stdout:
        raise CloudflaredMissing(f"{source}: {path} does not answer like cloudflared.")
    version = version_in(said.stdout)
    if version is not None and (why := flaw(version)) is not None:
        raise CloudflaredRefused(
            f"{source}: {path} is cloudflared {shown(version)}, which is refused: {why}. "
            f"Use {shown(MINIMUM)} or newer; {PINNED} is the best known."
        )
    return version


def download(
    data_dir: Path,
    system: tuple[str, str],
    http: httpx2.Client,
    *,
    base: str = DOWNLOADS,
    assets: Mapping[tuple[str, str], Asset] = ASSETS,
    progress: Progress = lambda done, whole: None,
) -> Cloudflared:
    """Puts the pinned release into DATA_DIR. `system`: what `platform` says, like ("Linux", "x86_64").

    `http` follows redirects, and has timeouts. Nothing is run, and nothing stays, whose SHA-256 is not in
    the table. Raises DownloadFailed.
    """
    asset, target = assets.get(system), home(data_dir)
    if asset is None:
        raise DownloadFailed(
            f"There is no cloudflared to download for {' '.join(system)}. Install one (many systems have a "
            "package of it) and name it with CLOUDFLARED_BIN."
        )
    url = f"{base}/{PINNED}/{asset.name}"
    try:
        for folder in (data_dir, target.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _temporary(target.parent) as fetched, _temporary(target.parent) as program:
            _fetch(url, http, fetched, progress)
            _check(fetched, asset.sha256, url)
            packed = asset.name.endswith(".tgz")
            if packed:
                _unpack(fetched, program, url)
                _check(program, asset.executable, url)
            ready = program if packed else fetched
            ready.chmod(0o755)
            ready.replace(target)
    except httpx2.HTTPError as problem:
        raise DownloadFailed(
            f"cloudflared {PINNED} could not be downloaded: {_why(problem)}. {_by_hand(url, asset, target)}",
            detail=repr(problem),
        ) from None
    except OSError as problem:
        raise DownloadFailed(f"{target.parent} cannot be written: {problem.strerror}.") from None
    return Cloudflared(target, _usable(target, "DATA_DIR"), "DATA_DIR")


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A file that is gone afterwards, unless it has got another name."""
    handle, name = tempfile.mkstemp(prefix=".cloudflared-", dir=folder)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _fetch(url: str, http: httpx2.Client, to: Path, progress: Progress) -> None:
    as_it_is = {"Accept-Encoding": "identity"}
    with http.stream("GET", url, headers=as_it_is) as answer, to.open("wb") as file:
        answer.raise_for_status()
        told = answer.headers.get("content-length", "")
        whole = int(told) if told.isdecimal() else None
        done = 0
        progress(done, whole)
        for chunk in answer.iter_raw(CHUNK):
            done += len(chunk)
            if done > MAX_BYTES:
                raise DownloadFailed(f"{url} sends more than any cloudflared is long.")
            file.write(chunk)
            progress(done, whole)


def _check(path: Path, sha256: str, url: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DownloadFailed(
            f"What came from {url} is not cloudflared {PINNED}: its SHA-256 is {found}, and not {sha256}. "
            "It is removed, and nothing of it was run. Try again from another network, for something on the "
            "way has changed it."
        )


def _unpack(archive: Path, program: Path, url: str) -> None:
    """The one file of that name: whatever else is in the archive is left there."""
    try:
        with tarfile.open(archive, "r:gz") as members, program.open("wb") as out:
            found = next(one for one in members if one.isfile() and Path(one.name).name == "cloudflared")
            inside = members.extractfile(found)
            if inside is not None:
                shutil.copyfileobj(inside, out)
    except (tarfile.TarError, StopIteration, EOFError):
        raise DownloadFailed(f"There is no cloudflared in what came from {url}.") from None


def _why(problem: httpx2.HTTPError) -> str:
    if isinstance(problem, httpx2.HTTPStatusError):
        return f"{problem.request.url.host} answered {problem.response.status_code}"
    host = problem.request.url.host
    if isinstance(problem, httpx2.TimeoutException):
        return f"{host} does not answer in time"
    if isinstance(problem, httpx2.RemoteProtocolError):
        return f"{host} broke off"
    return f"{host} cannot be reached ({problem})"


def _by_hand(url: str, asset: Asset, target: Path) -> str:
    unpack = ", unpack it" if asset.name.endswith(".tgz") else ""
    return (
        "A proxy is taken from HTTPS_PROXY, its certificate from SSL_CERT_FILE. Or by hand: "
        f"fetch {url} (SHA-256 {asset.sha256}){unpack}, make it executable and put it at {target}."
    )
