"""Before a file is paid for: whether it was sent before, from where, and what to do then."""

from __future__ import annotations

from overlay.cli.endings import WouldPayAgainError
from overlay.cli.shell import Shell
from overlay.client import Client
from overlay.errors import APIStatusError, UnsupportedError

_NO_LIST = frozenset({404, 405, 501})


def refuse_to_pay_again(shell: Shell, client: Client, job_id: str) -> None:
    """Raise WouldPayAgainError if the service has batches of a job that is not in this home folder."""
    try:
        seen = client.jobs.sent_before(job_id)
    except (APIStatusError, UnsupportedError) as error:
        if isinstance(error, APIStatusError) and error.status_code not in _NO_LIST:
            raise
        shell.say(
            "warning: the service cannot list batches, so it is unknown whether this file was sent before"
        )
        return
    if not seen.found:
        if not seen.complete:
            shell.say(
                "warning: not all batches of the last 30 days could be looked at, so this file may have been sent "
                "before"
            )
        return
    origin = next((origin for origin in seen.found if origin.here), seen.found[0])
    recover = ["jobs", "recover"] if origin.here else ["jobs", "recover", job_id]
    if len(seen.found) > 1 and origin.home is not None and not origin.here:
        recover += ["--home-id", origin.home]
    others = "; also from " + ", ".join(str(each) for each in seen.found if each is not origin)
    raise WouldPayAgainError(
        f"these requests were already sent from {_place(str(origin), here=origin.here)}, as job {job_id} with "
        f"{origin.batches[0].id}{others if len(seen.found) > 1 else ''}; running them again would pay again. To "
        f"recover that job here: {shell.again(*recover)}. To pay again anyway, add --again"
    )


def _place(origin: str, *, here: bool) -> str:
    return f"{origin}, which no longer has that job" if here else f"another machine or home folder ({origin})"
