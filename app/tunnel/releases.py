"""Which cloudflared is used: the pinned release with its SHA-256 sums, and the versions that are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the release. `sha256` is of the file, `executable` of the program that is in it."""

    name: str
    sha256: str
    executable: str


PINNED = "2026.10.0"
DOWNLOADS = "https://github.com/cloudflare/cloudflared/releases/download"

# By system and machine, as Python's `platform` names them. The sums are the digests that GitHub shows for
# the assets of the release; those that its notes give for macOS are of the program in the archive.
# To pin another release: change PINNED and all sums at once, from these two places.
_LINUX_AMD64 = Asset(
    "cloudflared-linux-amd64",
    "d33ff2d14475178d2012c2c56beba87389ac5ded27649519f198a7d3134a99db",
    "d33ff2d14475178d2012c2c56beba87389ac5ded27649519f198a7d3134a99db",
)
_LINUX_ARM64 = Asset(
    "cloudflared-linux-arm64",
    "e6422b9d4f72d3194bc5a38676f13667c06666523217b842a877d72a80b5ac08",
    "e6422b9d4f72d3194bc5a38676f13667c06666523217b842a877d72a80b5ac08",
)
_DARWIN_AMD64 = Asset(
    "cloudflared-darwin-amd64.tgz",
    "903845b81828c8cb3c5d13d816a2de71c06a3da5785469df8eb0e1b736d92f9f",
    "0560c9ab7281ac3f746055323623ed23bc0405b6dab9400474020cba33a978da",
)
_DARWIN_ARM64 = Asset(
    "cloudflared-darwin-arm64.tgz",
    "a2f79ff7b9420aa537d74af239f376da170bbabeb529aec416002adac6a72e70",
    "72edfd3eea463aef4d5cb89e2e209cecb048cc756c2b01915de2e0ad7cb39830",
)
ASSETS = {
    ("Linux", "x86_64"): _LINUX_AMD64,
    ("Linux", "aarch64"): _LINUX_ARM64,
    ("Darwin", "x86_64"): _DARWIN_AMD64,
    ("Darwin", "arm64"): _DARWIN_ARM64,
}

# Source: cloudflared RELEASE_NOTES.
MINIMUM: Version = (2026, 7, 2)
TOO_OLD = (
    "before 2026.7.2 its service shows the tunnel's token on the command line, to every user of the machine "
    "(VULN-118896)"
)
FLAWED: dict[Version, str] = {
    (2026, 8, 0): "it rewrites paths, and loses the slash at their end; taken back in 2026.8.2 (VULN-141859)",
    (2026, 8, 1): "it rewrites the paths of requests; taken back in 2026.8.2 (VULN-141859)",
}


def version_in(said: str) -> Version | None:
    """Of `cloudflared version 2026.8.2 (built …)`; None for a build that has no number."""
    found = re.search(r"\bversion (\d{4})\.(\d{1,2})\.(\d{1,3})\b", said)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def flaw(version: Version) -> str | None:
    """Why this version is refused; None if it is not."""
    return TOO_OLD if version < MINIMUM else FLAWED.get(version)


def shown(version: Version) -> str:
    return ".".join(map(str, version))
