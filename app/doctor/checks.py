"""A Check: one line of the doctor. In order; one whose ground is gone is not asked, and says why."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import AppError

NAME_WIDTH = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ok` None: could not or need not be asked. `lines`: more evidence, one thing a line."""

    ok: bool | None
    evidence: str
    fix: str = ""
    lines: tuple[str, ...] = ()


def fine(evidence: str, *lines: str) -> Verdict:
    return Verdict(True, evidence, lines=lines)


def wrong(evidence: str, fix: str, *lines: str) -> Verdict:
    return Verdict(False, evidence, fix, lines)


def unasked(because: str) -> Verdict:
    return Verdict(None, because)


@dataclass(frozen=True, slots=True)
class Question:
    """What leads to a Check. `needs`: names of earlier ones without which asking means nothing."""

    name: str
    ask: Callable[[], Awaitable[Verdict]]
    needs: tuple[str, ...] = ()
    part: str = "inside"


@dataclass(frozen=True, slots=True)
class Check:
    part: str
    name: str
    ok: bool | None
    evidence: str
    fix: str = ""
    lines: tuple[str, ...] = ()


async def examine(questions: Iterable[Question]) -> AsyncGenerator[Check]:
    """One Check for each, as soon as it is known. A refusal (AppError) of a probe is a failed check."""
    why_not: dict[str, str] = {}
    for question in questions:
        ground = next((why_not[name] for name in question.needs if name in why_not), None)
        verdict = unasked(ground) if ground is not None else await _asked(question)
        if verdict.ok is False:
            why_not[question.name] = f"{question.name} failed"
        elif verdict.ok is None:
            why_not[question.name] = verdict.evidence
        yield checked(question.part, question.name, verdict)


def checked(part: str, name: str, verdict: Verdict) -> Check:
    return Check(part, name, verdict.ok, verdict.evidence, verdict.fix, verdict.lines)


async def _asked(question: Question) -> Verdict:
    try:
        return await question.ask()
    except AppError as problem:
        return wrong(problem.detail or problem.public, problem.public)


def counted(number: int, noun: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def in_words(check: Check) -> str:
    """The lines of one check, as people read them."""
    mark = {True: "ok  ", False: "FAIL", None: "-   "}[check.ok]
    evidence = f"not asked: {check.evidence}" if check.ok is None else check.evidence
    told = [f"{mark}  {check.name:{NAME_WIDTH}}  {evidence}", *(f"{'':8}{line}" for line in check.lines)]
    if check.fix:
        told.append(f"{'':6}fix: {check.fix}")
    return "\n".join(map(_plain, told))


def in_sum(checks: Sequence[Check]) -> str:
    """The last line: how it stands."""
    failed = [check.name for check in checks if check.ok is False]
    counts = f"{sum(check.ok is True for check in checks)} ok, {len(failed)} failed"
    counts += f", {sum(check.ok is None for check in checks)} not asked"
    return f"{counts}. Begin with: {failed[0]}." if failed else f"{counts}."


def as_json(check: Check) -> dict[str, Any]:
    return {
        "part": check.part,
        "name": check.name,
        "ok": check.ok,
        "evidence": check.evidence,
        "fix": check.fix,
        "lines": list(check.lines),
    }


def _plain(text: str) -> str:
    """Much of it comes from other machines: nothing of it may act on a terminal."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
