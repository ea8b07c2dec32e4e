"""Starts the program of an upstream with limits of its own: `python -I -S launch.py MEMORY_MB PROGRAM …`.

Runs before the program in the same process, so it must not import anything of ours. Linux ends the
program when we die (prctl); elsewhere it sees the end of its standard input.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
FILES = 4096
NOT_STARTED, NOT_FOUND = 126, 127  # as a shell has it


def main(memory_mb: int, words: list[str]) -> None:
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_NOFILE, FILES)
    if memory_mb:
        limit(resource.RLIMIT_DATA, memory_mb * 1024 * 1024)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        os.execvp(words[0], words)  # noqa: S606 - no shell, as it is written
    except OSError as problem:
        print(f"{words[0]} cannot be started: {problem.strerror}", file=sys.stderr)
        sys.exit(NOT_FOUND if isinstance(problem, FileNotFoundError) else NOT_STARTED)


def limit(which: int, most: int) -> None:
    """Never more than we have ourselves."""
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
