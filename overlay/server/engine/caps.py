"""How much may be waiting at once: live batches, prompt tokens of one model, and texts to embed.

OpenAI accepts the batch and fails it. Azure, where it "fails fast", refuses the create with 400 and
`token_limit_exceeded`: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/batch. LiteLLM's proxy answers
with 429: https://github.com/BerriAI/litellm/pull/37539. Of a cap on batches, services document the number and
not the code: `too_many_batches` is ours.
"""

from collections.abc import Sequence

from overlay.server.engine.progress import Progress
from overlay.server.engine.validation import Report, over_cap
from overlay.server.objects import Problem
from overlay.server.refusals import Refusal
from overlay.server.settings import Limits

_TOO_MANY_REQUESTS = 429


def over_caps(report: Report, ahead: Sequence[Progress], enqueued: int, limits: Limits) -> Problem | None:
    """Why a batch may not go on, with the live batches `ahead` of it and `enqueued` tokens of its model; None where
    it may.
    """
    problem, most = over_cap(report, enqueued, limits), limits.live_batches
    inputs, most_inputs = sum(each.inputs for each in ahead), limits.enqueued_inputs
    if most_inputs is not None and report.inputs and inputs + report.inputs > most_inputs:
        # The number is recorded, the sentence is ours.
        problem = Problem(
            "token_limit_exceeded",
            f"Enqueued input limit reached for embeddings. Limit: {most_inputs:,} enqueued inputs."
            " Please try again once some in_progress batches have been completed.",
        )
    if most is not None and len(ahead) >= most:
        message = (
            f"Too many batches: {len(ahead):,} are in progress and at most {most:,} may be."
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
