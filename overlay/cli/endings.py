"""How a command ends: its exit status, and the one line that says why."""

from __future__ import annotations

import os
import re
import sys
import traceback
from contextlib import suppress
from enum import IntEnum
from typing import Any, TextIO

from overlay.errors import (
    APIConnectionError,
    AuthenticationError,
    BatchFailedError,
    BatchNotEndedError,
    ConfigurationError,
    CostLimitError,
    InvalidInputError,
    JobLockedError,
    JobMismatchError,
    JobNotEndedError,
    JobNotFoundError,
    OverlayError,
    ResultError,
    StorageError,
    TokenProviderError,
    UnknownOutcomeError,
    WaitTimeoutError,
    one_line,
)
from overlay.wire.environment import variable

DEBUG = "OVERLAY_DEBUG"


class Exit(IntEnum):
    """The exit statuses. After a signal it is the shell's: 130 for Ctrl-C, 143 for SIGTERM."""

    OK = 0
    INCOMPLETE = 1
    USAGE = 2
    SERVICE = 3
    WOULD_PAY_AGAIN = 4
    PIPE_CLOSED = 141


EXPLAINED = """\
Exit status:

\b
  0    done
  1    some lines failed, or the batch did not complete
  2    wrong usage, bad input, more than --max-cost, or a local file that cannot be read or written
  3    an error of the service, the network or the token
  4    would pay again: these requests were already sent from elsewhere
  130  stopped by Ctrl-C; 143 by SIGTERM. Batches that were created keep running.
"""


class WouldPayAgainError(OverlayError):
    """The file was sent before; its batch is named in the message."""


class PipeClosedError(Exception):
    """The reader of our output has closed it, as `head` does."""


_STATUSES: tuple[tuple[tuple[type[OverlayError], ...], Exit], ...] = (
    (
        (BatchFailedError, BatchNotEndedError, JobNotEndedError, WaitTimeoutError, ResultError),
        Exit.INCOMPLETE,
    ),
    ((ConfigurationError, CostLimitError, InvalidInputError, StorageError), Exit.USAGE),
    ((JobLockedError, JobMismatchError, JobNotFoundError), Exit.USAGE),
    ((WouldPayAgainError,), Exit.WOULD_PAY_AGAIN),
)

_HINTS: tuple[tuple[type[OverlayError], str], ...] = (
    (AuthenticationError, "check OPENAI_API_KEY, or your --token-file"),
    (TokenProviderError, "check your --token-file"),
    (APIConnectionError, "check the network, and --base-url"),
    (UnknownOutcomeError, "`overlay batches list` shows what exists"),
)


_ARGUMENTS = re.compile(
    r"(?<![\w-])(created_after|created_before|allow_insecure|base_url|completion_window|output_expires_after|"
    r"max_enqueued_tokens|max_batches|max_creates_per_hour|max_attempts|max_cost|older_than|notify_secret_file|notify)(?:=True|=)?(?![\w(])"
)
"""What a message may call what was typed."""


def exit_status(error: BaseException) -> Exit:
    """The exit status for what was raised."""
    for types, status in _STATUSES:
        if isinstance(error, types):
            return status
    return Exit.SERVICE


def report(error: Exception) -> Exit:
    """Say on stderr, in one line, what went wrong and what to do; returns the exit status."""
    text = _in_options(str(error)) if isinstance(error, ConfigurationError) else str(error)
    hint = next((hint for kind, hint in _HINTS if isinstance(error, kind)), None)
    if not isinstance(error, OverlayError):
        text = f"{type(error).__name__}: {text}; this should not happen"
        hint = f"set {DEBUG}=1 to see where"
    complain(f"{text} ({hint})" if hint else text)
    if variable(DEBUG):
        with suppress(OSError, ValueError):
            traceback.print_exception(error)
    return exit_status(error)


def _in_options(text: str) -> str:
    """The text with arguments of Python's as they are typed in a shell: `--created-after` for `created_after`."""
    return _ARGUMENTS.sub(lambda found: "--" + found[1].replace("_", "-"), text)


def misused(error: Any) -> Exit:
    """The same for arguments that cannot be understood, by typer's error; where there are none, it is help."""
    text: str = error.format_message()
    context = getattr(error, "ctx", None)
    if context is not None and text == context.get_help():
        sys.stderr.write(f"{text}\n")
        return Exit.USAGE
    text = text[:1].lower() + text[1:].rstrip(".")
    complain(text if context is None else f"{text} (see {context.command_path} -h)")
    return Exit.USAGE


def complain(text: str) -> None:
    """One error line on stderr."""
    say(f"error: {text}")


def say(text: str) -> None:
    """One line on stderr. If that is closed or full, work continues in silence."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(one_line(text) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Discard what a stream still holds, and whatever follows: the interpreter's last flush must not fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
