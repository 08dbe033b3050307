"""What a refusal says about the account's limits, in the words of several services."""

import pytest

from overlay import BadRequestError, NotFoundError, RateLimitError
from overlay.operations.caps import learned_tokens, limit_in, limit_of, stated_limit

OPENAI = (
    "Enqueued token limit reached for gpt-4o in organization org-x. Limit: 2,000,000 enqueued tokens. "
    "Please try again once some in_progress batches have been completed."
)


@pytest.mark.parametrize(
    ("code", "message", "limit"),
    [
        ("token_limit_exceeded", "no", "tokens"),
        ("TOKEN_LIMIT_EXCEEDED", "", "tokens"),
        (None, OPENAI, "tokens"),
        (None, "You have too many queued prompt tokens.", "tokens"),
        ("too_many_batches", "no", "batches"),
        (None, "Too many active batches: at most 5 may run at a time.", "batches"),
        (None, "Maximum number of concurrent batches reached", "batches"),
        (None, "You have 5 running batches, which is the limit.", "batches"),
        ("rate_limit_exceeded", "Rate limit reached: 2,000 batches an hour.", None),
        ("rate_limit_exceeded", "Too many requests", None),
        ("model_not_found", "no such model", None),
        (None, "", None),
    ],
)
def test_which_limit_a_refusal_is_about(code, message, limit):
    assert limit_in([code], message) == limit


def test_only_a_status_that_may_mean_a_limit_is_read_as_one():
    assert limit_of(RateLimitError(OPENAI, status_code=429)) == "tokens"
    assert limit_of(BadRequestError("no", status_code=400, code="token_limit_exceeded")) == "tokens"
    assert limit_of(NotFoundError(OPENAI, status_code=404)) is None


@pytest.mark.parametrize(
    ("message", "number"),
    [
        (OPENAI, 2_000_000),
        ("limit is 90000 tokens", 90_000),
        ("Limit: 1_000", 1_000),
        ("the limit of 5 active batches", 5),
        ("no number", None),
        ("limit: 0", None),
        ("limit: 99999999999999999999999", None),
    ],
)
def test_the_number_that_is_stated(message, number):
    assert stated_limit(message) == number


@pytest.mark.parametrize(
    ("others", "stated", "before", "learned"),
    [
        (0, 400, False, 400),  # too large by itself, and it is said by how much
        (300, 400, False, 400),
        (300, None, False, 300),  # what ran beside it fits
        (300, 5_000, False, 5_000),
        (0, None, False, 500),  # too large by itself: half
        (0, 5_000, False, None),  # it fits by our estimate: others may hold the rest
        (0, 5_000, True, 500),  # and again: the service counts more than we do
    ],
)
def test_what_is_learned_from_the_refusal_of_a_thousand_tokens(others, stated, before, learned):
    assert learned_tokens(1_000, others=others, stated=stated, refused_before=before) == learned
