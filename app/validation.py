"""Arguments that do not fit a tool's schema, told in the words of the schema."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TypeVar

from fastmcp.exceptions import ToolError, ValidationError
from pydantic import ValidationError as PydanticError

from app.errors import AppError

T = TypeVar("T")


class ArgumentsInvalid(AppError):
    code = "invalid_arguments"
    status = 400


async def told(call: Awaitable[T]) -> T:
    """What `call` returns. Arguments that it refuses are a ToolError that names each, without its value."""
    try:
        return await call
    except ValidationError as refused:
        invalid = ArgumentsInvalid(_in_words(refused.__cause__))
        raise ToolError(invalid.public, log_level=logging.DEBUG) from invalid


def _in_words(cause: BaseException | None) -> str:
    if not isinstance(cause, PydanticError):
        return "The arguments do not fit the tool's schema. Read it and call again."
    errors = cause.errors(include_url=False)
    wrong = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors)
    return f"Wrong arguments: {wrong}. Correct them and call again."
