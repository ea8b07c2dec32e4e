"""`brain`: parses, calls the noun's file, and turns refusals into a sentence and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Sequence

from app import __version__, settings
from app.errors import AppError
from app.settings import Settings, SettingsInvalid

# Command → the file that has `register(subparsers)`; its parsers set `run(args, settings) -> exit code`.
NOUNS = {
    "serve": "serve",
    "ready": "ready",
    "connect": "connect",
    "notes": "notes",
    "policy": "policy",
    "deny": "deny",
    "undeny": "deny",
    "audit": "audit",
    "oauth": "oauth",
    "upstreams": "upstreams",
    "access": "access",
    "backup": "backup",
    "restore": "backup",
    "simulate": "simulate",
    "demo": "demo",
    "config": "config",
    "doctor": "doctor",
    "tunnel": "tunnel",
}
USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 fine, 1 a problem was found, 2 wrong usage or configuration."""
    words = sys.argv[1:] if argv is None else list(argv)
    commands = parser(_needed(words))
    args, unknown = commands.parse_known_args(words)
    if unknown:
        commands.error(f"unrecognized arguments: {' '.join(unknown)}{getattr(args, 'on_unknown', '')}")
    try:
        return _run(args, _settings(args))
    except AppError as problem:
        print(f"brain: {problem.public}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `brain … | head`
        sys.stderr.close()
        return 0


def _run(args: argparse.Namespace, read: Settings) -> int:
    """Runs the command; one that changes something or carries something away goes on record."""
    code = int(args.run(args, read))
    if command := getattr(args, "on_record", None):
        from app.cli.database import put_on_record  # not for commands that need no database

        put_on_record(read, command, _named(args), code)
    return code


def _named(args: argparse.Namespace) -> str:
    """What the command was about: the one word that is its object."""
    found = next((getattr(args, name) for name in ("who", "dir", "file") if hasattr(args, name)), "")
    return str(found or "")[:200]


def parser(files: Iterable[str] = tuple(dict.fromkeys(NOUNS.values()))) -> argparse.ArgumentParser:
    """The command line of these files of `app/cli`; without any, of all."""
    top = argparse.ArgumentParser(
        prog="brain", description="An MCP server behind two doors: the LAN's and the tunnel's."
    )
    top.add_argument("--version", action="version", version=f"brain {__version__}")
    top.add_argument(
        "--env-file", type=_file, metavar="FILE", help="settings file (default: .env in this folder)"
    )
    nouns = top.add_subparsers(required=True, metavar="COMMAND")
    for file in files:
        importlib.import_module(f"app.cli.{file}").register(nouns)
    return top


def _needed(words: Sequence[str]) -> Iterable[str]:
    """The files that the words name (a value may look like a command): a server need not load the others."""
    return dict.fromkeys(NOUNS[word] for word in words if word in NOUNS) or dict.fromkeys(NOUNS.values())


def _file(text: str) -> str:
    if not os.path.exists(text):
        raise argparse.ArgumentTypeError(f"{text} does not exist")
    return text


def _settings(args: argparse.Namespace) -> Settings:
    try:
        later = getattr(args, "team_comes_later", False)
        read = settings.from_process(args.env_file or ".env", team_comes_later=later)
    except SettingsInvalid:
        if getattr(args, "without_settings", False):
            return settings.read({})
        found = _learned(args)
        if found is None:
            raise
        read = found
    for warning in read.warnings:
        print(f"brain: {warning}", file=sys.stderr)
    return read


def _learned(args: argparse.Namespace) -> Settings | None:
    """With the team that `brain tunnel` has from Cloudflare, if that is all that is missing: somebody must be
    cut off beside it as well. None: it is not, or the command opens doors, which takes it written out."""
    if getattr(args, "opens_doors", False):
        return None
    env_file = args.env_file or ".env"
    try:
        read = settings.from_process(env_file, team_comes_later=True)
    except SettingsInvalid:
        return None
    from app.cli.tunnel_learned import learned, tunnel_files  # only where it is needed

    state = None if read.access_team else tunnel_files(read).state()
    return learned(env_file, state) if state is not None and state.auds else None


if __name__ == "__main__":
    sys.exit(main())
