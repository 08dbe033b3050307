"""How much may be waiting at once: live batches, and prompt tokens of one model.

OpenAI accepts the batch and fails it. Azure, where it "fails fast", refuses the create with 400 and
`token_limit_exceeded`: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/batch. LiteLLM's proxy answers
with 429: https://github.com/BerriAI/litellm/pull/37539. Of a cap on batches, services document the number and
not the code: `too_many_batches` is ours.
"""

from overlay.server.engine.validation import Report, over_cap
from overlay.server.objects import Problem
from overlay.server.refusals import Refusal
from overlay.server.settings import Limits

_TOO_MANY_REQUESTS = 429


def over_caps(report: Report, ahead: int, enqueued: int, limits: Limits) -> Problem | None:
    """Why a batch may not go on, with `ahead` live batches before it and `enqueued` tokens of its model; None where
    it may.
    """
    problem, most = over_cap(report, enqueued, limits), limits.live_batches
    if most is not None and ahead >= most:
        message = (
            f"Too many batches: {ahead:,} are in progress and at most {most:,} may be."
            " Please try again once some of them have been completed."
        )
        problem = Problem("too_many_batches", message)
    if problem is not None and limits.caps_code is not None:
        problem.code = limits.caps_code
    return problem


def refusal(problem: Problem, status: int) -> Refusal:
    """The same, as the answer to the create."""
    kind = "requests" if status == _TOO_MANY_REQUESTS else "invalid_request_error"
    return Refusal(status, problem.message, code=problem.code, kind=kind)
