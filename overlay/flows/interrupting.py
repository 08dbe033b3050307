"""What a KeyboardInterrupt says: how to go on with what was being done.

A flow notes it where it begins something that outlives the process; whoever runs the flow gives it to the
interrupt, whose traceback ends with it.
"""

from __future__ import annotations

from contextvars import ContextVar

going_on: ContextVar[str | None] = ContextVar("going_on", default=None)
"""What to do after an interrupt, in the present thread or task."""


def explain(interrupt: KeyboardInterrupt) -> None:
    """Let an interrupt say how to go on, if it says nothing yet."""
    advice = going_on.get()
    if advice and not interrupt.args:
        interrupt.args = (advice,)
