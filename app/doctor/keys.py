"""Cloudflare's side of an assertion: the team's signing keys, its clock, and what became of the last ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from cryptography import x509

from app.access.claims import LEEWAY
from app.access.jwks import STALE_AFTER, BadKeySet, parse
from app.audit.chain import Record, milliseconds
from app.audit.events import Event
from app.doctor import dashboard
from app.doctor.checks import Verdict, fine, unasked, wrong
from app.doctor.web import Web
from app.settings import Settings
from app.tunnel.answers import Answer, Unreached

RECENT = 3600  # seconds
SAID_DATE = 0.5  # a Date header is cut to whole seconds
ROTATION_DAYS = 42
AGAINST_OURSELVES = {  # reasons that only a genuine assertion of the team's keys is refused for
    "aud": (
        "the Access application has another AUD tag than CF_ACCESS_AUD: made anew, or not ours",
        f"copy the tag into CF_ACCESS_AUD: {dashboard.AUD_TAG}",
    ),
    "iss": (
        "the assertions are of another team than CF_ACCESS_TEAM",
        f"set CF_ACCESS_TEAM to the name at {dashboard.TEAM}",
    ),
    "not_yet_valid": ("this machine's clock is behind Cloudflare's", "sudo timedatectl set-ntp true"),
    "expired": ("this machine's clock is ahead of Cloudflare's", "sudo timedatectl set-ntp true"),
}


@dataclass
class Certs:
    """What the certs endpoint said, for the two checks that want to know."""

    answer: Answer | Unreached | None = None
    asked_at: float = 0.0


async def signing_keys(settings: Settings, web: Web, now: Callable[[], float], certs: Certs) -> Verdict:
    certs.answer = await web.ask("GET", settings.access_certs_url)
    certs.asked_at = now()
    kept = _kept_for(settings.data_dir / "access-certs.json", settings.access_certs_url, now())
    return keys_verdict(certs.answer, settings.access_certs_url, settings.access_team, kept, now())


def keys_verdict(answer: Answer | Unreached, url: str, team: str, kept: float | None, now: float) -> Verdict:
    """`kept`: seconds since the last good set was fetched, None without one."""
    lines = () if kept is None else (_kept_in_words(kept),)
    if isinstance(answer, Unreached):
        fix = f"let this machine reach {url} (firewall, DNS, HTTPS_PROXY)"
        return wrong(f"{url}: {answer.in_short()}", fix, *lines)
    if answer.status != 200:
        fix = f"correct CF_ACCESS_TEAM={team}: {dashboard.TEAM}"
        if answer.status >= 500:
            fix = "wait, and look at cloudflarestatus.com: Access itself does not answer"
        return wrong(f"{url}: {answer.in_short()}", fix, *lines)
    try:
        keys = parse(answer.body)
    except BadKeySet as problem:
        return wrong(
            f"{url}: {problem}", f"see what answers there instead of Cloudflare: curl -i {url}", *lines
        )
    age = _current_age(answer, now)
    if age is None:
        return fine(f"{len(keys)} from {url}")
    return fine(f"{len(keys)} from {url}, the newest {age} days old (rotated every {ROTATION_DAYS})")


def clock(certs: Certs) -> Verdict:
    """The time of this machine against the Date of Cloudflare's answer."""
    date = certs.answer.headers.get("date") if isinstance(certs.answer, Answer) else None
    if date is None:
        return unasked("nothing of Cloudflare's answered with a date")
    try:
        theirs = parsedate_to_datetime(date).timestamp() + SAID_DATE
    except ValueError:
        return unasked(f"the date {date[:40]!r} cannot be read")
    return clock_verdict(certs.asked_at - theirs)


def clock_verdict(ahead: float) -> Verdict:
    """`ahead`: seconds that this machine's clock is ahead of Cloudflare's."""
    if abs(ahead) <= 1 + SAID_DATE:
        return fine("within a second of Cloudflare's")
    about = round(abs(ahead), -1 if abs(ahead) > LEEWAY else 0)
    told = f"{about:.0f} s {'ahead of' if ahead > 0 else 'behind'} Cloudflare's"
    if abs(ahead) <= LEEWAY / 2:
        return fine(told)
    harm = "good assertions look expired" if ahead > 0 else "fresh assertions look not yet valid"
    return wrong(f"{told}; {LEEWAY:.0f} s are forgiven, then {harm}", "sudo timedatectl set-ntp true")


def assertions(records: Sequence[Record], now: float) -> Verdict:
    """The newest last. What became of the assertions that came to the tunnel door in the last hour."""
    since = milliseconds(now - RECENT)
    events = [r.event for r in records if r.at >= since and r.event.door == "tunnel"]
    genuine = [e for e in events if e.operation == "sign-in" or _reason(e) in AGAINST_OURSELVES]
    if not genuine:
        return fine("no genuine one came in the last hour")
    if genuine[-1].operation != "sign-in":
        what, fix = AGAINST_OURSELVES[_reason(genuine[-1])]
        return wrong(f"the last genuine one was refused ({genuine[-1].reason}): {what}", fix)
    return fine("the last genuine one of this hour was good")


def _reason(event: Event) -> str:
    """Why the door refused an assertion; the detail is left out."""
    return event.reason.partition(" ")[0] if event.operation == "door" else ""


def _current_age(answer: Answer, now: float) -> int | None:
    """Days since the newest certificate of the set began to be valid."""
    try:
        listed = answer.document["public_certs"]
        began = [x509.load_pem_x509_certificate(one["cert"].encode()).not_valid_before_utc for one in listed]
        return int((datetime.fromtimestamp(now, UTC) - max(began)).total_seconds() // 86_400)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _kept_for(file: Path, url: str, now: float) -> float | None:
    try:
        kept = json.loads(file.read_bytes())
        return now - float(kept["fetched_at"]) if kept["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kept_in_words(age: float) -> str:
    left = STALE_AFTER - age
    if left <= 0:
        return "the last good set is too old to serve: the tunnel door answers 503"
    return f"a good set is kept, {age / 3600:.0f} h old; it serves for another {left / 86_400:.1f} days"
