"""The process that forks those which are killed: one order a line in, one report a line out.

What is slow, importing the SDK, is done once; a fork that begins with everything imported is a process of its own
in all that counts here: its memory, its sockets, its locks and its death.
"""

import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

import anyio._backends._asyncio  # noqa: F401 - imported once, for all forks
import httpcore  # noqa: F401
import msgspec

import overlay.generated.api.batch
import overlay.generated.api.files  # noqa: F401
from soak import scenarios, steps
from soak.scenarios import Order, Report


def main() -> None:
    """Serve orders until there are no more."""
    notes = Path(sys.argv[1])
    steps.install()
    if sys.argv[2:] == ["careless"]:
        scenarios.be_careless()
    logging.disable()  # unanswered creates are no news here
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        notes.unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            _live(order, notes)
        report = msgspec.json.encode(_watch(pid, order, notes))
        sys.stdout.buffer.write(report + b"\n")
        sys.stdout.buffer.flush()


def _live(order: Order, notes: Path) -> None:
    """The fork: ends without returning."""
    report = Report()
    try:
        steps.steps.begin(order.fatal)
        scenarios.run(order)
    except BaseException:  # noqa: BLE001 - told to whoever gave the order
        report.error = traceback.format_exc()
    if order.trace:
        report.reached = list(steps.steps.reached)
    with os.fdopen(os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(msgspec.json.encode(report))
    os._exit(0)


def _watch(pid: int, order: Order, notes: Path) -> Report:
    ends = min(order.limit, order.limit if order.after is None else order.after)
    timer = threading.Timer(ends, os.kill, (pid, signal.SIGKILL))
    timer.start()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # not reaped yet: the id stays its own
    timer.cancel()
    timer.join()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return msgspec.json.decode(notes.read_bytes(), type=Report)
    planned = order.fatal is not None or order.after is not None
    hung = code == -signal.SIGKILL and not planned
    return Report(
        killed=code == -signal.SIGKILL and planned,
        error="it hung" if hung else "" if planned else f"it ended with status {code}",
    )


if __name__ == "__main__":
    main()
