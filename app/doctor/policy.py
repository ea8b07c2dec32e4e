"""The policy file and its cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.doctor.checks import Verdict, counted, fine, unasked, wrong
from app.policy.cases import in_words, run_cases
from app.policy.check import Tool, check
from app.policy.parse import PolicyInvalid, parse
from app.policy.rules import Policy, Rule


def read(file: Path) -> Policy | None:
    """None: there is no file. Raises PolicyInvalid, also where it cannot be read."""
    try:
        return parse(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise PolicyInvalid([f"cannot be read: {problem.strerror}"]) from None


def rules(file: Path) -> tuple[Rule, ...]:
    """None where the file is none or broken."""
    try:
        found = read(file)
    except PolicyInvalid:
        return ()
    return found.rules if found else ()


def policy(file: Path, tools: Sequence[Tool], unseen: Sequence[str], *, tunnel: bool) -> Verdict:
    """`unseen`: beginnings of names of which nobody can say yet what there is. `tunnel`: the tunnel door is
    on, where without rules nobody may call anything."""
    try:
        found = read(file)
    except PolicyInvalid as invalid:
        return wrong(f"{file} cannot be used", invalid.problems[0], *invalid.problems[1:])
    if found is None and not tunnel:
        return fine(f"no {file}: the LAN may do everything")
    if found is None or (tunnel and not found.rules):
        return wrong(
            f"{file} has no rule: by the tunnel nobody may call anything" if found else f"there is no {file}",
            f"write a rule for yourself; deploy/policy.example.toml shows how: {file}",
        )
    findings = check(found, tools, unseen)
    errors = [f"{finding.place}: {finding.what}" for finding in findings if finding.level == "error"]
    if errors:
        return wrong(f"{file} does not mean what it says", errors[0], *errors[1:])
    warnings = [f"{finding.place}: {finding.what}" for finding in findings]
    return fine(f"{file}, {counted(len(found.rules), 'rule')}", *warnings)


def cases(file: Path, tools: Sequence[Tool]) -> Verdict:
    found = read(file)
    if found is None or not found.cases:
        return unasked("the policy has no [[case]]")
    results = run_cases(found, tools)
    failed = [result for result in results if not result.ok]
    if failed:
        lines = [line for result in failed for line in in_words(result).splitlines()]
        return wrong(
            f"{len(failed)} of {len(results)} cases do not hold",
            "correct the rule or the case; `brain policy explain` shows the decision",
            *lines,
        )
    return fine(f"{len(results)} of {len(results)} hold")
