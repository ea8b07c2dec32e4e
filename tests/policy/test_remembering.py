"""What the decision remembers to be fast is never something that a caller chose the size of."""

from __future__ import annotations

import weakref

from app.policy.decide import Operation, decide

from .text import person, policy, rule

POLICY = policy(rule('emails = ["eve@example.com"]', more='limits = [{ tool = "t", arg = "n", max = 5 }]'))


class Name(str):
    """A name that can be seen to be forgotten."""

    __slots__ = ("__weakref__",)


def forgotten(text: str) -> bool:
    name = Name(text)
    seen = weakref.ref(name)
    assert decide(POLICY, person(), Operation("resource", name)).allowed
    del name
    return seen() is None


def test_a_short_name_is_remembered_and_a_long_one_is_not() -> None:
    assert not forgotten("data://a")
    assert forgotten("data://" + "a" * 200)


def test_arguments_are_not_remembered() -> None:
    for number in (1, 9, 1):
        operation = Operation("tool", "t", True, {"n": number})
        decision = decide(POLICY, person(), operation)
        assert decision.allowed is (number == 1)
        assert decision.operation is operation
