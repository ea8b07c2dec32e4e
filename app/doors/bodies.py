"""The body of a request for who has to look at it first: read, and played again."""

from __future__ import annotations

from app.doors.http import Message, Receive


async def read_body(receive: Receive) -> list[Message]:
    """The messages of the body, each with its `body`; the door in front counts them."""
    body: list[Message] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return [*body, {**message, "body": b""}]
        body.append({**message, "body": message.get("body", b"")})
        if not message.get("more_body", False):
            return body


def whole(body: list[Message]) -> bytes | None:
    """None: the client hung up before its end."""
    if body[-1]["type"] != "http.request":
        return None
    return b"".join(part["body"] for part in body)


def again(body: list[Message], receive: Receive) -> Receive:
    """`body`, and then what comes."""
    waiting = iter(body)

    async def replay() -> Message:
        return next(waiting, None) or await receive()

    return replay
