"""`brain tunnel up`: asks what it has to know, checks and keeps it, and opens the way in."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from app import settings as app_settings
from app.audit.lines import configure
from app.cli import tunnel_binary
from app.cli.database import clock, put_on_record
from app.cli.duration import seconds
from app.cli.policy_files import Usage
from app.cli.tunnel_learned import learned, tunnel_files
from app.cli.tunnel_provision import PERMISSIONS, hostname_of, intent_of, known_hostname, wrong_with_hostname
from app.opening import Opening, up
from app.policy.starting import is_email, policy_for
from app.provision.acting import NotSettled
from app.provision.apply import look
from app.provision.cloudflare import TOKENS_PAGE, Cloudflare, TokenRefused, Unanswered, cloudflare
from app.settings import Settings
from app.settings.env_file import amend
from app.tunnel.proof import NotClosed, NotReachable

TOKEN = "CLOUDFLARE_API_TOKEN"  # noqa: S105 - the name of it
# What is wrong out there, or was for a while; all else is a matter of what this was started with.
PROBLEMS = (NotClosed, NotReachable, NotSettled, Unanswered)


@dataclass(frozen=True)
class Answers:
    """What the settings, the words of the command or the person say. `typed`: for `.env`, not there yet."""

    hostname: str
    api_token: str
    owner: str | None
    typed: dict[str, str]


def register(verbs: Any) -> None:
    text = "open the way in from the internet, once it is proven closed to strangers"
    parser = verbs.add_parser(
        "up",
        help=text,
        description=f"{text.capitalize()}. Stays in the foreground; Ctrl-C ends it. Exit code: 0 it was "
        "open, 1 something could not be proven, 2 something is missing or wrong here.",
    )
    parser.add_argument(
        "--owner", metavar="EMAIL", help="who may do everything, where there is no policy yet"
    )
    parser.add_argument("--hostname", metavar="HOST", help="public name (default: the one of BASE_URL)")
    parser.add_argument("--ttl", metavar="2h", help="take it all down by itself after 30m, 2h, 7d")
    parser.add_argument(
        "--wait", metavar="3m", default="3m", help="how long to wait for Cloudflare (default: 3m)"
    )
    parser.set_defaults(run=run_up)


def run_up(args: argparse.Namespace, settings: Settings) -> int:
    ttl = float(seconds(args.ttl, "--ttl")) if args.ttl else None
    patience = float(seconds(args.wait, "--wait"))
    env_file = Path(args.env_file or ".env")
    # What happens is said on standard output; of the log people need the warnings alone.
    told = "LOG_LEVEL" in os.environ or settings.log_level != "info"
    configure(settings.log_level if told else "warning", settings.log_format)
    with _without_questions_on_a_script():
        answers = _checked(asked(args, settings), settings)
    _keep(answers, settings, env_file)
    settings = app_settings.read({**os.environ, **answers.typed}, env_file, team_comes_later=True)
    cloudflared = tunnel_binary.ensured(settings)
    put_on_record(settings, "tunnel/up", answers.hostname, 0)
    try:
        asyncio.run(_up(settings, answers, env_file, cloudflared.path, ttl, patience))
        code = 0
    except PROBLEMS:  # said already
        code = 1
    put_on_record(settings, "tunnel/end", answers.hostname, code)
    return code


def asked(args: argparse.Namespace, settings: Settings) -> Answers:
    """Raises Usage with the option to give, where nobody can be asked."""
    typed: dict[str, str] = {}
    said = args.hostname or known_hostname(settings)
    if not said and sys.stdin.isatty():
        said = _answer("public name", "Public name, like brain.example.com: ", wrong_with_hostname)
    hostname = hostname_of(settings, said)
    if not settings.base_url.startswith("https:"):
        typed["BASE_URL"] = f"https://{hostname}"
    token = settings.cloudflare_api_token or _token()
    if not settings.cloudflare_api_token:
        typed[TOKEN] = token
    return Answers(hostname, token, _owner(args.owner, settings), typed)


def _answer(
    what: str, question: str, wrong_with: Callable[[str], str], ask: Callable[[str], str] = input
) -> str:
    """Asks a person until nothing is wrong with the answer: the other answers need not be given again."""
    while True:
        said = ask(question).strip()
        if not said:
            print(f"brain: The {what} is empty.", file=sys.stderr)
        elif problem := wrong_with(said):
            print(f"brain: {said}: {problem}", file=sys.stderr)
        else:
            return said


def _owner(said: str | None, settings: Settings) -> str | None:
    if settings.policy_file.exists():
        if said:
            print(f"brain: {settings.policy_file} is there, so --owner changes nothing", file=sys.stderr)
        return None
    if not said:
        if not sys.stdin.isatty():
            raise Usage(
                f"There is no policy yet ({settings.policy_file}). Say --owner EMAIL: who may do everything."
            )
        question = "Your e-mail address, as you log in with it at Cloudflare Access: "
        return _answer("e-mail address", question, _wrong_with_owner).lower()
    if problem := _wrong_with_owner(said):
        raise Usage(f"--owner {said}: {problem}")
    return said.lower()


def _wrong_with_owner(said: str) -> str:
    return "" if is_email(said) else "must be an e-mail address."


def _token() -> str:
    lines = "\n".join(f"- {permission}" for permission in PERMISSIONS)
    need = f"Create an API token at {TOKENS_PAGE} with these permissions:\n{lines}"
    if not sys.stdin.isatty():
        raise Usage(f"{TOKEN} is missing. {need}\nThen set it in .env or the environment.")
    print(need)
    return _typed_token()


def _typed_token() -> str:
    return _answer("API token", "API token (not shown): ", lambda _: "", getpass.getpass)


@contextlib.contextmanager
def _without_questions_on_a_script() -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise Usage(f"No answer. Say it with --hostname, --owner and {TOKEN}.") from None


def _checked(answers: Answers, settings: Settings) -> Answers:
    """The same, with a token that Cloudflare takes: one that was typed and is refused is asked for again."""
    while True:
        try:
            asyncio.run(_check(answers, settings))
        except TokenRefused as refused:
            if TOKEN not in answers.typed:
                raise
            print(f"brain: {refused.public}", file=sys.stderr)
            token = _typed_token()
            answers = replace(answers, api_token=token, typed={**answers.typed, TOKEN: token})
        else:
            return answers


async def _check(answers: Answers, settings: Settings) -> None:
    """The token, its permissions, the zone and the team: all before anything is written."""
    async with _api(settings, answers.api_token) as api:
        await look(api, tunnel_files(settings), answers.hostname)


def _keep(answers: Answers, settings: Settings, env_file: Path) -> None:
    if answers.owner is not None:
        _write_policy(settings.policy_file, policy_for(answers.owner))
        print(f"{settings.policy_file}: a policy with one person, {answers.owner}.")
    if answers.typed:
        try:
            amend(env_file, answers.typed)
        except (OSError, ValueError) as problem:
            raise Usage(f"{env_file} cannot be written: {problem}") from None
        print(f"{env_file}: {', '.join(answers.typed)}.")


def _write_policy(file: Path, text: str) -> None:
    """There was none; whatever is there all the same is not written over, nor is what it leads to."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
    except FileExistsError as there:
        if file.is_symlink():
            raise Usage(
                f"{file} is a link that leads nowhere. Remove it, or let it lead to a policy."
            ) from None
        raise Usage(f"{there.filename} is in the way. Move it away and run this again.") from None
    except OSError as problem:
        raise Usage(f"{file} cannot be written: {problem.strerror}.") from None


async def _up(
    settings: Settings,
    answers: Answers,
    env_file: Path,
    cloudflared: Path,
    ttl: float | None,
    patience: float,
) -> None:
    files = tunnel_files(settings)
    opening = Opening(
        intent=intent_of(settings, hostname=answers.hostname),
        files=files,
        settings_for=partial(learned, str(env_file)),
        cloudflared=cloudflared,
        environ=os.environ,
        say=partial(print, flush=True),
        stop=_stop_on_signals(),
        now=clock,
        ttl=ttl,
        patience=patience,
    )
    async with _api(settings, answers.api_token) as api:
        await up(opening, api, settings)


def _stop_on_signals() -> asyncio.Event:
    """The first signal asks for an end in order; the next one is for whoever cannot wait."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    return stop


def _api(settings: Settings, token: str) -> contextlib.AbstractAsyncContextManager[Cloudflare]:
    return cloudflare(token, account_id=settings.cloudflare_account_id, base=settings.cloudflare_api_base)
