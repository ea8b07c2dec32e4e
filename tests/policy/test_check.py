"""What `check` finds in a policy that reads well."""

from __future__ import annotations

import pytest

from app.policy.check import Tool, check

from .text import EXAMPLE, policy, rule

TOOLS = (
    Tool("search", True, {"properties": {"query": {}, "limit": {"default": 10}}}),
    Tool("create_note", False, {"properties": {"title": {}}}),
    Tool("delete_note", False),
    Tool("restore_note", False),
)


def found(*parts: str) -> list[str]:
    return [f"{one.level} {one.place}: {one.what}" for one in check(policy(*parts), TOOLS)]


def test_the_example_of_the_documentation_has_no_finding() -> None:
    assert found(EXAMPLE.partition("version = 1")[2]) == []


@pytest.mark.parametrize(
    ("parts", "finding"),
    [
        (
            "[scopes.a]\ntools = ['delete_notes']",
            "error scopes.a.tools: no tool is named `delete_notes`; did you mean `delete_note`?",
        ),
        (
            "[scopes.a]\ntools = ['zzz*']",
            "error scopes.a.tools: no tool is named `zzz*`; `brain policy explain --as lan` lists the tools",
        ),
        (
            rule(
                "name = 'r'\nany_person = true", more="limits = [{ tool = 'serch', arg = 'limit', max = 5 }]"
            ),
            "error rule r, limit on serch: no tool is named `serch`; did you mean `search`?",
        ),
        (
            rule(
                "name = 'r'\nany_person = true",
                more="limits = [{ tool = 'search', arg = 'limits', max = 5 }]",
            ),
            "error rule r, limit on search: search has no argument `limits`; it has: limit, query",
        ),
        (
            "[[case]]\nas = 'lan'\ntool = 'make_note'\nexpect = 'allow'",
            "error case as lan: no tool is named `make_note`; did you mean `create_note`?",
        ),
        (
            rule("name = 'r'\nany_person = true", "[]"),
            "warning rule r: gives no scope, so it changes nothing",
        ),
        (
            "[lan]\nscopes = []\n[scopes.a]\ntools = ['search']",
            "warning scopes.a: no rule gives it: nobody may use its tools",
        ),
        (
            rule("name = 'all'\nany_person = true") + rule("name = 'bob'\nemails = ['bob@example.com']"),
            "warning rule bob: gives nothing that all does not give already",
        ),
        (
            rule("name = 'firm'\ndomains = ['example.com']", "['mcp:tools:write']")
            + rule("name = 'bob'\nemails = ['bob@example.com']"),
            "warning rule bob: gives nothing that firm does not give already",
        ),
        (
            rule("name = 'a'\ngroups = ['x']") + rule("name = 'b'\ngroups = ['x']"),
            "warning rule b: gives nothing that a does not give already",
        ),
    ],
)
def test_what_is_wrong_is_found_once_with_its_place(parts: str, finding: str) -> None:
    assert found(parts) == [finding]


@pytest.mark.parametrize(
    "wider",
    [
        "domains = ['sub.example.com']",
        "service_tokens = ['x.access']",
        "any_person = true\nspaces = ['main']",
        "any_person = true\nlimits = [{ tool = 'search', arg = 'limit', max = 5 }]",
    ],
)
def test_a_rule_that_gives_more_to_somebody_is_not_unreachable(wider: str) -> None:
    assert found(rule(f"name = 'w'\n{wider}") + rule("name = 'bob'\nemails = ['bob@example.com']")) == []


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("file://up//srv/x.txt", "; did you mean `file://up/srv/x.txt`?"),
        ("FILE://up/srv/x.txt", "; did you mean `file://up/srv/x.txt`?"),
        ("memo:one*", ""),
    ],
)
def test_a_pattern_that_fits_no_resource_is_a_warning(pattern: str, hint: str) -> None:
    text = policy(f"[lan]\nscopes = ['a']\n[scopes.a]\nresources = ['{pattern}']")
    known = ("file://up/srv/x.txt", "note://{id}")
    assert check(text, TOOLS) == ()  # nobody can say
    [finding] = check(text, TOOLS, resources=known)
    assert (finding.level, finding.place) == ("warning", "scopes.a.resources")
    assert finding.what == f"no resource or template is listed as `{pattern}`{hint}"


@pytest.mark.parametrize(
    "pattern", ["file://up/srv/x.txt", "file://*", "note://{id}", "note://1", "note://*"]
)
def test_a_pattern_that_fits_a_resource_or_may_be_one_of_a_template_is_fine(pattern: str) -> None:
    text = policy(f"[lan]\nscopes = ['a']\n[scopes.a]\nresources = ['{pattern}']")
    assert check(text, TOOLS, resources=("file://up/srv/x.txt", "note://{id}")) == ()


def test_errors_come_before_warnings() -> None:
    levels = [
        finding.level
        for finding in check(policy(rule("any_person = true", "[]"), "[scopes.a]\ntools = ['x']"), TOOLS)
    ]
    assert levels == ["error", "warning"]
