"""Every mistake in a policy file is one line, with its place and its fix, and all come in one run."""

from __future__ import annotations

import pytest

from app.policy.parse import PolicyInvalid, parse

from .text import policy, problems, rule

CASE = "[[case]]\nas = 'lan'\ntool = 'x'\nexpect = 'deny'\n"
ANY = "any_person = true"
MISTAKES = {
    "nothing=1": "policy.nothing: unknown; known here: version, scopes, lan, rule, case",
    "rules = []": "policy.rules: unknown; did you mean `rule`?",
    "rule = 1": "policy.rule: must be written as [[rule]]",
    "rule = [1]": "policy.rule: must be written as [[rule]]",
    "case = {}": "policy.case: must be written as [[case]]",
    "lan = 1": "policy.lan: must be written as [lan]",
    "[lan]": 'lan.scopes: missing; say what it gives, like scopes = ["mcp:tools:read"]',
    '[lan]\nscope = ["*"]\nscopes = []': "lan.scope: unknown; did you mean `scopes`?",
    '[lan]\nscopes = "*"': 'lan.scopes: must be a list of texts, like ["a", "b"]',
    "[lan]\nscopes = ['mcp:tool:read']": "lan.scopes: unknown scope `mcp:tool:read`; "
    "did you mean `mcp:tools:read`?",
    "[lan]\nscopes = ['cook']": 'lan.scopes: unknown scope `cook`; define it as [scopes."cook"]',
    "scopes = 1": 'policy.scopes: must be written as [scopes."name"]',
    "scopes.a = 1": 'policy.scopes: must be written as [scopes."name"]',
    "[scopes.a]": 'scopes.a: names nothing; add tools = ["…"]',
    "[scopes.a]\ntool = ['x']\nprompts = ['y']": "scopes.a.tool: unknown; did you mean `tools`?",
    "[scopes.a]\ntools = ['a*b']": "scopes.a.tools: `a*b`: a `*` may stand at the end only",
    "[scopes.a]\nprompts = ['x']\ntools = [1]": 'scopes.a.tools: must be a list of texts, like ["a", "b"]',
    "[scopes.a]\ntools = ['x']\ndescription = 1": "scopes.a.description: must be a text that is not empty",
    "[scopes.'a b']\ntools = ['x']": "scopes.a b: not a name for an own scope; "
    "use letters, digits, `:`, `-`, `_`, and no built-in name",
    "[scopes.'mcp:tools:read']\ntools = ['x']": "scopes.mcp:tools:read: not a name for an own scope; "
    "use letters, digits, `:`, `-`, `_`, and no built-in name",
    rule(
        "name = 'r'"
    ): "rule r: names nobody; add one of emails, domains, groups, service_tokens, or any_person = true",
    rule(f"name = ''\n{ANY}"): "rule 1.name: must be a text that is not empty",
    rule("name = 'r'\nany_person = 'yes'\nemails = ['a@b.c']"): "rule r.any_person: must be true or false",
    rule(
        "name = 'r'\nemails = 'a@b.c'\nany_person = true"
    ): 'rule r.emails: must be a list of texts, like ["a", "b"]',
    rule(
        "name = 'r'\nemails = [' a@b.c']\nany_person = true"
    ): 'rule r.emails: must be a list of texts, like ["a", "b"]',
    rule("name = 'r'\nemails = ['alice']"): "rule r.emails: `alice` is not an e-mail address",
    rule("name = 'r'\nemails = ['@b.c']"): "rule r.emails: `@b.c` is not an e-mail address",
    rule("name = 'r'\nemail = ['a@b.c']\nany_person = true"): "rule r.email: unknown; did you mean `emails`?",
    rule(
        "name = 'r'\ndomains = ['@b.c']"
    ): "rule r.domains: `@b.c` is not a domain; write it like example.com",
    rule(
        "name = 'r'\ndomains = ['*.b.c']"
    ): "rule r.domains: `*.b.c` is not a domain; write it like example.com",
    rule(
        "name = 'r'\ndomains = ['.b.c']"
    ): "rule r.domains: `.b.c` is not a domain; write it like example.com",
    rule("name = 'r'\ndomains = ['com']"): "rule r.domains: `com` is not a domain; write it like example.com",
    rule(
        f"name = 'r'\n{ANY}", more="spaces = ['a*']"
    ): "rule r.spaces: `a*`: write a name, `~` for the person's own, or `*` for all",
    rule(f"name = 'r'\n{ANY}") * 2: "rule r: the name is taken; every rule needs a name of its own",
    "[[case]]\nas = 'lan'\ntool = 'x'": 'case 1.expect: must be "allow" or "deny"',
    f"{CASE}args = 1": "case 1.args: must be a table, like { limit = 5 }",
    "[[case]]\nas = 'lan'\nexpect = 'deny'": "case 1.tool: must be a text that is not empty",
    f"{CASE}arg = 1": "case 1.arg: unknown; did you mean `args`?",
}
LIMIT_MISTAKES = {
    "max = '5'": "max: must be a number",
    "max = true": "max: must be a number",
    "max = nan": "max: must be a number",
    "min = -inf": "min: must be a number",
    "max_length = -1": "max_length: must be a whole number, 0 or more",
    "max_length = 1.5": "max_length: must be a whole number, 0 or more",
    "one_of = []": "one_of: must be a list of texts or numbers",
    "one_of = [[1]]": "one_of: must be a list of texts or numbers",
    "matches = 1": "matches: must be a regular expression",
    "matches = '('": "matches: not a usable regular expression: missing ): (",
    "matches = '(?<=a)b'": "matches: not a usable regular expression: invalid perl operator: (?<=",
    "under = '/a/../b'": "under: must be a path without `..`",
    "under = ''": "under: must be a path without `..`",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_with_place_and_fix(mistake: str) -> None:
    assert problems(mistake) == (MISTAKES[mistake],)


@pytest.mark.parametrize("mistake", LIMIT_MISTAKES)
def test_a_mistake_in_a_limit_names_the_rule_and_the_limit(mistake: str) -> None:
    limits = f"limits = [{{ tool = 't', arg = 'a', {mistake} }}]"
    assert problems(rule(f"name = 'r'\n{ANY}", more=limits)) == (
        f"rule r, limits 1.{LIMIT_MISTAKES[mistake]}",
    )


@pytest.mark.parametrize("kinds", ["", "max = 1, min = 1", "maximum = 1"])
def test_a_limit_says_exactly_one_thing(kinds: str) -> None:
    limits = f"limits = [{{ {', '.join(filter(None, ('tool = 1', kinds)))} }}]"
    found = problems(rule(f"name = 'r'\n{ANY}", more=limits))
    assert "rule r, limits 1.tool: must be a text that is not empty" in found
    assert "rule r, limits 1.arg: must be a text that is not empty" in found
    wanted = "rule r, limits 1: say exactly one of one_of, matches, max, min, max_length, under"
    assert wanted in found


def test_all_mistakes_come_in_one_run() -> None:
    every = [mistake for mistake in MISTAKES if mistake.startswith("[[")]
    found = problems(*every)
    assert len(found) >= len(every)


def test_problems_come_in_the_same_order_every_time() -> None:
    unknown = "\n".join(f"{name} = 1" for name in "zyxwvutsrq")
    assert list(problems(unknown)) == sorted(problems(unknown))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"version = 2", "version: must be 1; write `version = 1` as the first line"),
        (b"", "version: must be 1; write `version = 1` as the first line"),
        (b"version = 1\nversion", "not TOML: "),
        (b"version = 1\nversion = 1", "not TOML: Cannot overwrite a value (at "),
        (b"\xff\xfe", "not UTF-8; save the file as UTF-8"),
        (b"version = " + b"9" * 5000, "not TOML: Exceeds the limit (4300 digits)"),
        (b"a = " + b"[" * 9000, "not TOML: "),
        (b"#" * (1024 * 1024 + 1), "larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_policy_at_all_is_one_problem(content: bytes, problem: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        parse(content)
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(problem)


def test_a_key_with_a_line_end_stays_on_one_line() -> None:
    for mistake in ('"a\\nb" = 1', '[scopes."a\\nb"]\ntools = ["x"]'):
        assert all(line.isprintable() for line in problems(mistake))


def test_a_file_may_begin_with_a_byte_order_mark_and_have_windows_line_ends() -> None:
    assert parse(b"\xef\xbb\xbfversion = 1\r\n[lan]\r\nscopes = []\r\n").lan == frozenset()


def test_without_a_lan_section_the_lan_may_do_everything() -> None:
    assert policy().lan == {"*"}


def test_an_empty_list_gives_the_lan_nothing() -> None:
    assert policy("[lan]\nscopes = []").lan == frozenset()
