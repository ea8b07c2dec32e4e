"""Every mistake in upstreams.toml is one line, with its place and its fix, and all come in one run."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.upstreams.entries import Command, Entry, Python, UpstreamsInvalid, Url, Value, parse
from app.upstreams.names import Names

ROOT = Path(__file__).parents[2]
URL = 'url = "http://nas.lan:9000/mcp"'
MISTAKES = {
    "nothing = 1": "upstreams.nothing: unknown; known here: version, brain, upstream",
    "brain = 1": "upstreams.brain: must be true or false",
    "upstream = 1": "upstreams.upstream: must be written as [upstream.name]",
    "[upstream.a_b]\n" + URL: "upstream.a_b: not a name for an upstream; use a-z, 0-9 and `-`, like `github`",
    "[upstream.list]\n" + URL: "upstream.list: reads like a tool of the Brain; take another name",
    "[upstream.a]": "upstream.a: say exactly one of python, command, url",
    "[upstream.a]\ncomand = ['x']\npin = true": "upstream.a.comand: unknown; did you mean `command`?",
    f'[upstream.a]\n{URL}\ncommand = ["x"]': "upstream.a: say exactly one of python, command, url",
    f"[upstream.a]\n{URL}\ntimeot = 1": "upstream.a.timeot: unknown; did you mean `timeout`?",
    f"[upstream.a]\n{URL}\ncwd = '/x'": "upstream.a.cwd: unknown; known here: url, headers, bearer_env, "
    "bearer_file, transport, namespace, trust_annotations, pin, tell_caller, timeout, concurrency, "
    "max_result_kb",
    f"[upstream.a]\n{URL}\npin = 'yes'": "upstream.a.pin: must be true or false",
    f"[upstream.a]\n{URL}\ntimeout = 0": "upstream.a.timeout: must be a whole number, 1 to 3600",
    "[upstream.a]\nurl = 'nas:9000'": "upstream.a.url: must be http://… or https://…",
    "[upstream.a]\nurl = 'http://u:p@nas/mcp'": "upstream.a.url: holds a name or password; "
    "use bearer_env, bearer_file or headers",
    f"[upstream.a]\n{URL}\ntransport = 'ws'": 'upstream.a.transport: must be "http" (streamable HTTP) or '
    '"sse" (legacy)',
    f"[upstream.a]\n{URL}\nbearer_env = 'A'\nbearer_file = 'b'": "upstream.a.bearer_file: "
    "say one of bearer_env and bearer_file",
    f"[upstream.a]\n{URL}\nheaders = {{ Host = 'x' }}": "upstream.a.headers: `host` is set by the transport",
    f"[upstream.a]\n{URL}\nheaders = {{ 'a b' = 'x' }}": "upstream.a.headers.a b: not a name for a header",
    f"[upstream.a]\n{URL}\nheaders = {{ A = {{ var = 'x' }} }}": "upstream.a.headers.A: must be a text, "
    '{ env = "VARIABLE" } or { file = "path" }',
    f"[upstream.a]\n{URL}\nbearer_env = 'A'\nheaders = {{ authorization = 'x' }}": "upstream.a.headers: "
    "`authorization` is there already, from the bearer",
    "[upstream.a]\ncommand = []": 'upstream.a.command: must be the program and its arguments, like ["npx", '
    '"-y", "some-server"]',
    "[upstream.a]\ncommand = 'npx x'": 'upstream.a.command: must be a list of texts, like ["a", "b"]',
    "[upstream.a]\ncommand = ['x']\nenv = { '1' = 'x' }": "upstream.a.env.1: not a name for a variable",
    "[upstream.a]\npython = 'my_server'": "upstream.a.python: must be FILE:NAME, like `my_server.py:mcp`",
}


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(UpstreamsInvalid) as invalid:
        parse(text)
    return invalid.value.problems


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_fix(text: str) -> None:
    assert MISTAKES[text] in problems(f"version = 1\n{text}")


def test_all_mistakes_come_at_once() -> None:
    text = "".join(f"[upstream.a{n}]\ntimeout = 0\n{URL}\n" for n in range(5))
    assert len(problems(f"version = 2\n{text}")) == 6


def test_a_kind_that_is_misspelt_is_one_mistake() -> None:
    assert len(problems("version = 1\n[upstream.a]\ncomand = ['x']")) == 1


def test_two_without_a_namespace_are_refused() -> None:
    text = "".join(f"[upstream.{name}]\n{URL}\nnamespace = false\n" for name in "ab")
    assert problems(f"version = 1\n{text}") == (
        "namespace: only one upstream may be without it; there are a, b",
    )


def test_the_example_is_all_that_there_is_to_say() -> None:
    text = (ROOT / "deploy" / "upstreams.example.toml").read_text()
    uncommented = "\n".join(
        line.removeprefix("#") if line.startswith("#[a-z") else line for line in text.splitlines()
    )
    found = {entry.name: entry for entry in parse(uncommented).entries}
    assert found["own"] == Entry("own", Python("my_server.py", "mcp"))
    assert isinstance(found["files"].to, Command)
    nas = found["nas"].to
    assert isinstance(nas, Url)
    assert nas.bearer == Value("env", "NAS_TOKEN")
    named = {*tomllib.loads(text)["upstream"]["nas"], *tomllib.loads(text)["upstream"]["files"]}
    assert {"headers", "pin", "trust_annotations", "tell_caller", "env", "cwd", "memory_mb"} <= named


uris = st.from_regex(r"[a-z]{1,3}:(//)?(up/?)?.*", fullmatch=True)


@given(uris | st.text(), st.booleans())
def test_a_uri_comes_back_as_it_was(uri: str, namespace: bool) -> None:
    names = Names(Entry("up", Python("", ""), namespace=namespace))
    if (here := names.uri(uri)) is not None:
        assert names.uri_there(here) == uri


@given(uris)
def test_no_two_uris_here_mean_the_same_one_of_an_upstream(here: str) -> None:
    names = Names(Entry("up", Python("", "")))
    if (there := names.uri_there(here)) is not None:
        assert names.uri(there) == here
        assert "up/" in here


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("data://one", "data://up/one"),
        ("file:///srv/x", "file://up//srv/x"),
        ("memo:one", "memo:up/one"),
        ("urn:isbn:123", "urn:up/isbn:123"),
        ("memo:{x}", "memo:up/{x}"),
        ("{+path}", None),
        ("a/b", None),
    ],
)
def test_with_a_namespace_a_uri_begins_with_it_whatever_its_scheme(there: str, here: str | None) -> None:
    assert Names(Entry("up", Python("", ""))).uri(there) == here


@pytest.mark.parametrize(
    "there",
    [
        "file:../home/me/x",
        "file:/../home/me/x",
        "FILE:..\\home\\me\\x",
        "file:./../home/x",
        "file:..",
        "file:x",
    ],
)
def test_a_resource_cannot_step_out_of_its_namespace_by_what_a_uri_is_shortened_to(there: str) -> None:
    assert Names(Entry("up", Python("", ""))).resource(there) is None


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("file:///srv/x", "file://up/srv/x"),
        ("file://../home/x", "file://up/home/x"),
        ("HTTP:../x", "http://up/x"),
        ("memo:../x", "memo:up/../x"),
    ],
)
def test_what_it_is_shortened_to_inside_of_its_namespace_is_its_name(there: str, here: str) -> None:
    assert Names(Entry("up", Python("", ""))).resource(there) == here


@given(uris)
def test_every_resource_has_its_namespace_in_its_name(there: str) -> None:
    here = Names(Entry("up", Python("", ""))).resource(there)
    assert here is None or here.partition(":")[2].removeprefix("//").startswith("up/")
