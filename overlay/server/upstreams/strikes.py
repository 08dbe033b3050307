"""Whether a line's failures have become its answer: the rules are in the package's docstring."""

import time

from overlay.server.upstreams.feed import Entry
from overlay.server.upstreams.verdicts import Meaning

_MOST_SLOW = 2


def has_its_answer(entry: Entry, *, patience: float) -> bool:
    """Judge a line that failed: whether it is to be asked again, or its failure is its answer.

    `patience` is how long it must have failed, in seconds, where nothing better than the list of models speaks
    for the server.
    """
    verdict, circuit = entry.verdict, entry.circuit
    if verdict is None or circuit is None:
        return False
    attempt = entry.mark >= 0 and circuit.successes > entry.mark and circuit.outages == entry.outage
    if attempt and not circuit.proven:
        attempt = time.monotonic() - entry.began > patience
    entry.mark = -1
    if not attempt:
        return False
    if verdict.meaning is Meaning.SLOW:
        entry.slow += 1
    else:
        entry.strikes += 1
    if entry.slow < _MOST_SLOW and entry.strikes < circuit.tries():
        return False
    entry.feed.settle(entry, verdict.status, verdict.body, verdict.request_id)
    return True
