"""Node for the tests that need it: from npm itself, so that nothing but npm has to be on the machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
OLDEST_MAJOR = 22


class NoNode(Exception):
    """Says in one line why nothing that needs Node can run."""


def prepare(folder: Path) -> Path:
    """Installs what `folder/package-lock.json` names, once, and returns the Node to run it. Raises NoNode."""
    lock, installed = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm = shutil.which("npm")
        if npm is None:
            raise NoNode("npm is not installed")
        print(f"Installing {folder.name}/package-lock.json with npm (once) …", flush=True)
        done = subprocess.run([npm, "ci", "--loglevel=error"], cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise NoNode(f"npm ci failed: {' '.join(done.stderr.split())[:300]}")
    return node(folder)


def installed(folder: Path) -> bool:
    """Whether `prepare` has nothing left to do; for tests that must not install anything."""
    return (folder / "node_modules" / ".package-lock.json").exists()


def node(folder: Path) -> Path:
    """The Node of the lock file; on machines that npm has none for, the machine's own. Raises NoNode."""
    machine = MACHINES.get(platform.machine().lower(), platform.machine())
    ours = folder / "node_modules" / f"node-{platform.system().lower()}-{machine}" / "bin" / "node"
    if ours.exists():
        return ours
    found = shutil.which("node")
    if found is None:
        raise NoNode("there is no Node for this machine in npm, and none is installed")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_MAJOR:
        raise NoNode(f"Node {OLDEST_MAJOR} or newer is needed, this machine has {version}")
    return Path(found)
