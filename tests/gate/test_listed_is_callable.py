"""What is listed can be called, what is not cannot: at both doors, in every version, for everything.

Held against random policies, on the wire, by what really ran.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.policy.decide import Operation, decide
from app.policy.rules import OwnScope, Policy, Rule
from app.principal import LAN, Principal
from tests.house import NIGHTLY

from .conftest import ALICE, Everything
from .everything import ITEM, PROMPTS, READS, RESOURCES, TEMPLATE, TOOLS
from .wire import VERSIONS, Caller, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEOPLE = (ALICE, "bob@example.com", NIGHTLY)
NO_TOOL = "not a tool that you may use"
UP_TEMPLATE, UP_ITEM = "item://up/{number}", "item://up/7"
UP_RESOURCES = {"data://up/public": "data://public", "secret://up/one": "secret://one"}
BRAIN = ("search", "create_note", "delete_note")
SCOPES = ("mcp:tools:read", "mcp:tools:write", "own:a", "own:b", "*")
PATTERNS = {
    "tools": ("look", "delete_*", "admin_reset", "unmarked", "*", "delete_note", "up_*", "up_look"),
    "resources": (
        *("data://public", "secret://*", TEMPLATE, "item://*", "note://*", "*"),
        *("data://up/public", UP_TEMPLATE, "item://up/*"),
    ),
    "prompts": ("poem", "secret_*", "*", "up_*", "up_poem"),
}

own_scopes = st.fixed_dictionaries(
    {field: st.lists(st.sampled_from(named), max_size=2) for field, named in PATTERNS.items()}
).filter(lambda scope: any(scope.values()))
given_scopes = st.lists(st.sampled_from(SCOPES), max_size=2)
selectors: st.SearchStrategy[dict[str, object]] = st.sampled_from(
    [{"any_person": True}, {"emails": [ALICE]}, {"domains": ["example.com"]}, {"service_tokens": [NIGHTLY]}]
)
rules = st.lists(st.tuples(selectors, given_scopes), max_size=3)


@st.composite
def policies(draw: st.DrawFn) -> str:
    lines = []
    for name in ("own:a", "own:b"):
        lines.append(f'[scopes."{name}"]')
        lines += [f"{field} = {json.dumps(named)}" for field, named in draw(own_scopes).items()]
    lines += ["[lan]", f"scopes = {json.dumps(draw(given_scopes))}"]
    for selector, scopes in draw(rules):
        lines += ["[[rule]]", f"scopes = {json.dumps(scopes)}"]
        lines += [f"{field} = {json.dumps(value)}" for field, value in selector.items()]
    return "\n".join(lines)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("door", ["lan", "tunnel"])
@settings(max_examples=6, deadline=None, phases=[Phase.reuse, Phase.generate])  # the file is short as it is
@given(policies(), st.sampled_from(PEOPLE))
async def test_what_is_listed_is_what_runs(
    all_of_it: Everything, door: str, version: str, text: str, who: str
) -> None:
    all_of_it.policy(text)
    caller = all_of_it.caller(version, door, who)
    await tools_run_as_listed(all_of_it, caller)
    await resources_run_as_listed(all_of_it, caller)
    await prompts_run_as_listed(all_of_it, caller)
    await what_is_of_an_upstream_runs_as_listed(all_of_it, caller)


async def tools_run_as_listed(everything: Everything, caller: Caller) -> None:
    listed = await caller.names("tool")
    everything.ran.clear()
    answers = {name: await caller.call(name, n=2) for name in TOOLS}
    assert everything.ran == [name for name in TOOLS if name in listed]
    assert {name for name, answer in answers.items() if NO_TOOL in text_of(answer)} == set(TOOLS) - listed
    for name in BRAIN:
        assert (NO_TOOL in text_of(await caller.call(name))) is (name not in listed)
    told = await caller.call("whoami")
    assert set(told["result"]["structuredContent"]["tools"]) == listed


async def resources_run_as_listed(everything: Everything, caller: Caller) -> None:
    listed = await caller.names("resource") - UP_RESOURCES.keys()
    template = TEMPLATE in await caller.names("template")
    everything.ran.clear()
    for uri in (*RESOURCES, ITEM):
        await caller.ask("resources/read", uri=uri)
    assert set(everything.ran) - {ITEM} == listed
    # A scope may name some of a template's addresses: then the template is listed, and those are not read.
    assert ITEM not in everything.ran or template
    everything.ran.clear()
    await caller.complete({"type": "ref/resource", "uri": TEMPLATE}, "number")
    assert everything.ran == [f"complete {TEMPLATE}"] * template


async def prompts_run_as_listed(everything: Everything, caller: Caller) -> None:
    listed = {name for name in await caller.names("prompt") if not name.startswith("up_")}
    everything.ran.clear()
    for name in PROMPTS:
        await caller.ask("prompts/get", name=name)
    assert set(everything.ran) == listed
    everything.ran.clear()
    for name in PROMPTS:
        await caller.complete({"type": "ref/prompt", "name": name}, "theme")
    assert everything.ran == [f"complete {name}" for name in PROMPTS if name in listed]


async def what_is_of_an_upstream_runs_as_listed(everything: Everything, caller: Caller) -> None:
    ran = everything.strangers
    ran.clear()
    tools = await caller.names("tool")
    for name in TOOLS:
        said = text_of(await caller.call(f"up_{name}", n=2))
        assert (NO_TOOL in said) is (f"up_{name}" not in tools)
    assert ran == [f"up {name}" for name in TOOLS if f"up_{name}" in tools]
    ran.clear()
    resources, templates = await caller.names("resource"), await caller.names("template")
    for uri in (*UP_RESOURCES, UP_ITEM):
        await caller.ask("resources/read", uri=uri)
    assert set(ran) - {f"up {ITEM}"} == {
        f"up {there}" for here, there in UP_RESOURCES.items() if here in resources
    }
    assert f"up {ITEM}" not in ran or UP_TEMPLATE in templates
    ran.clear()
    prompts = await caller.names("prompt")
    for name in PROMPTS:
        await caller.ask("prompts/get", name=f"up_{name}")
    assert set(ran) == {f"up {name}" for name in PROMPTS if f"up_{name}" in prompts}


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_no_scope_names_of_an_upstream_is_not_there(all_of_it: Everything, version: str) -> None:
    all_of_it.policy("[lan]\nscopes = ['*']\n[[rule]]\nany_person = true\nscopes = ['*']")
    for door in ("lan", "tunnel"):
        caller = all_of_it.caller(version, door)
        await what_is_of_an_upstream_runs_as_listed(all_of_it, caller)
        assert all_of_it.strangers == []
        kinds = [await caller.names(kind) for kind in ("tool", "resource", "template", "prompt")]
        assert not [name for names in kinds for name in names if name.startswith("up_") or "://up/" in name]


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_scope_that_names_a_template_as_it_is_listed_covers_what_it_reads(
    all_of_it: Everything, version: str
) -> None:
    all_of_it.policy(
        f"[scopes.items]\nresources = ['{TEMPLATE}']",
        "[[rule]]\nany_person = true\nscopes = ['mcp:tools:read']",
    )
    caller = all_of_it.caller(version)
    assert TEMPLATE not in await caller.names("template")
    await caller.ask("resources/read", uri=ITEM)
    await caller.complete({"type": "ref/resource", "uri": ITEM}, "number")
    assert all_of_it.ran == []


async def test_lists_and_calls_are_what_decide_says(all_of_it: Everything) -> None:
    own = OwnScope("own:a", "own:a", ("delete_*",), ("secret://*",), ("secret_poem",))
    policy = Policy(
        (own,), frozenset({"own:a"}), (Rule("r", frozenset({"mcp:tools:read"}), any_person=True),)
    )
    all_of_it.policy(
        "[scopes.'own:a']\ntools = ['delete_*']\nresources = ['secret://*']\nprompts = ['secret_poem']",
        "[lan]\nscopes = ['own:a']\n[[rule]]\nany_person = true\nscopes = ['mcp:tools:read']",
    )
    for door, who in (("lan", LAN), ("tunnel", Principal("person", ALICE, "tunnel", ALICE))):
        caller = all_of_it.caller(VERSIONS[-1], door)
        said = {name for name in TOOLS if decide(policy, who, Operation("tool", name, name in READS)).allowed}
        assert await caller.names("tool") & set(TOOLS) == said
        assert await caller.names("resource") & set(RESOURCES) == {
            uri for uri in RESOURCES if decide(policy, who, Operation("resource", uri)).allowed
        }
        assert await caller.names("prompt") & set(PROMPTS) == {
            name for name in PROMPTS if decide(policy, who, Operation("prompt", name)).allowed
        }
