"""From a plan to what is so: apply, drift, down. Each goes on where an interrupted one stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from app.errors import AppError
from app.provision.acting import NotSettled, awaited, perform
from app.provision.cloudflare import Cloudflare, CloudflareRefused
from app.provision.drift import Finding, findings
from app.provision.files import TunnelFiles
from app.provision.found import Found, Kind
from app.provision.named import told
from app.provision.plan import Plan, Step, plan, teardown
from app.provision.reading import read
from app.provision.state import State
from app.provision.wanted import Intent
from app.tunnel.config import Topology

MOST_STEPS = 1000  # far more than any plan: a loop that does not end is a defect, not patience

Progress = Callable[[Step], None]


def everything(_: Step) -> bool:
    return True


class InTheWay(AppError):
    """`conflicts`: what is not ours and would have to go first, a sentence each."""

    code = "in_the_way"

    def __init__(self, conflicts: tuple[str, ...]) -> None:
        self.conflicts = conflicts
        super().__init__("Nothing was changed:\n" + "\n".join(f"- {conflict}" for conflict in conflicts))


class NotApplied(AppError):
    code = "not_applied"


class OtherHostname(AppError):
    code = "other_hostname"


@dataclass(frozen=True)
class Applied:
    """What is exposed now, and what could not be had (`notes`)."""

    state: State
    found: Found
    notes: tuple[str, ...]


async def look(api: Cloudflare, files: TunnelFiles, hostname: str) -> Found:
    """What there is. What was being made when an answer was lost is waited for, so nothing is made twice.

    Raises OtherHostname: one exposure at a time.
    """
    state = files.state()
    if state is not None and state.hostname != hostname:
        raise OtherHostname(
            f"{state.hostname} is exposed from here. End that first (brain tunnel down), then {hostname}."
        )
    found = await read(api, hostname, state)
    if state is not None and state.pending is not None:
        kind, name = cast(Kind, state.pending[0]), state.pending[1]
        if found.one(kind, name) is None and (value := await awaited(api, found, kind, name)):
            found = found.with_object(kind, value)
    return found


async def planned(api: Cloudflare, files: TunnelFiles, intent: Intent) -> Plan:
    """What `apply` would do now. Changes nothing."""
    found = await look(api, files, intent.hostname)
    return plan(_without_refused(intent, files.state()), found)


async def drift(api: Cloudflare, files: TunnelFiles, intent: Intent) -> tuple[Finding, ...]:
    """Where what there is differs from what there should be. Raises NotApplied before the first apply."""
    state = files.state()
    if state is None or not state.ids.keys() - {"service-token"}:
        raise NotApplied("Nothing is exposed from here yet. `brain tunnel plan` says what would be done.")
    found = await look(api, files, intent.hostname)
    return findings(plan(_without_refused(intent, state), found), found, state)


async def apply(
    api: Cloudflare, files: TunnelFiles, intent: Intent, progress: Progress = lambda _: None
) -> Applied:
    """Performs the plan; `progress` is told of each step before it. The connector's token is then in its
    file, and what was made is seen.

    Raises InTheWay before anything is changed, and what `perform` raises.
    """
    with files.locked():
        found = await look(api, files, intent.hostname)
        if conflicts := plan(intent, found).conflicts:
            raise InTheWay(conflicts)
        files.keep_state(_begun(files.state(), found, intent.topology))
        before = found
        found, intent = await _all(api, files, found, intent, progress)
        for tunnel in found.ours("tunnel"):
            files.keep_token(str(await api.get(f"/cfd_tunnel/{tunnel['id']}/token")))
        done = plan(intent, found)
        known = _known(files.state(), found)
        whom = told(intent.rules, intent.topology)
        state = replace(known, auds=done.auds, pending=None, told=whom)
        files.keep_state(state)
        seen = found if found is before else await _settle(api, intent, state)
        return Applied(state, seen, done.notes)


async def down(
    api: Cloudflare,
    files: TunnelFiles,
    progress: Progress = lambda _: None,
    *,
    hostname: str = "",
    goes: Callable[[Step], bool] = everything,
) -> tuple[Step, ...]:
    """Takes away what of ours `goes`, the name first, and looks again until nothing of that is left to see.
    Returns the steps that would take away what stays; with that, what is kept here of it stays.

    `hostname`: for when there is no state; without either there is nothing to do.
    """
    with files.locked():
        state = files.state()
        host = state.hostname if state else hostname
        if not host:
            return ()
        found = await look(api, files, host)
        if state is None:
            files.keep_state(_begun(None, found, "access"))
        for step in filter(goes, teardown(found)):
            progress(step)
            found = await perform(api, files, found, step)

        left: tuple[Step, ...] = ()

        async def nothing_left() -> bool:
            nonlocal left
            left = tuple(filter(goes, teardown(await read(api, host, None))))
            return not left

        if not await api.until(nothing_left):
            names = ", ".join(step.name for step in left)
            raise NotSettled(f"Still there: {names}. Run this again in a minute.")
        stays = teardown(found)
        if not stays:
            files.forget()
        else:
            _keep_what_stays(files, found)
        return stays


def _keep_what_stays(files: TunnelFiles, found: Found) -> None:
    state = _known(files.state(), found)
    ids = {kind: ids for kind, ids in state.ids.items() if ids}
    if not found.ours("tunnel"):
        ids.pop("configuration", None)
        files.forget_token()
    auds = state.auds if found.ours("application") else ()
    files.keep_state(replace(state, ids=ids, auds=auds, pending=None))


async def _all(
    api: Cloudflare, files: TunnelFiles, found: Found, intent: Intent, progress: Progress
) -> tuple[Found, Intent]:
    """Step by step, planning anew after each: the next may need what this one brought (an id, an AUD)."""
    for _ in range(MOST_STEPS):
        steps = plan(intent, found).steps
        if not steps:
            return found, intent
        progress(steps[0])
        try:
            found = await perform(api, files, found, steps[0])
        except CloudflareRefused:
            if steps[0].kind != "waf-rule":
                raise
            # Not every plan of Cloudflare's has these rules; without one everything is as safe.
            intent = replace(intent, waf=False)
            state = _known(files.state(), found)
            files.keep_state(replace(state, without_waf=True))
    raise NotSettled("The plan does not come to an end. Run `brain tunnel drift` to see what differs.")


async def _settle(api: Cloudflare, intent: Intent, state: State) -> Found:
    """All of it once more, in one look: what was done early may have been undone since."""
    last: list[tuple[Found, Plan]] = []

    async def settled() -> bool:
        found = await read(api, intent.hostname, state)
        last.append((found, plan(intent, found)))
        return not last[-1][1].steps

    if not await api.until(settled):
        steps = "\n".join(f"- {step}" for step in last[-1][1].steps)
        raise NotSettled(f"Everything is set, but does not show yet:\n{steps}\nRun this again in a minute.")
    return last[-1][0]


def _begun(state: State | None, found: Found, topology: Topology) -> State:
    fresh = State(
        hostname=found.hostname,
        account_id=found.account_id,
        zone_id=found.zone_id,
        zone=found.zone,
        team=found.team,
        topology=topology,
    )
    return replace(fresh, ids=state.ids, auds=state.auds, told=state.told) if state is not None else fresh


def _known(state: State | None, found: Found) -> State:
    if state is None:
        raise NotSettled(f"The state of {found.hostname} is gone while it is in use. Run this again.")
    return state


def _without_refused(intent: Intent, state: State | None) -> Intent:
    return replace(intent, waf=False) if state is not None and state.without_waf else intent
