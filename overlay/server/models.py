"""Names of models, and the dated snapshot that each stands for: what answers carry as `model`.

The names and dates are those of https://platform.openai.com/docs/models.
"""

_DATES = {
    "gpt-3.5-turbo": "0125",
    "gpt-3.5-turbo-16k": "0613",
    "gpt-4": "0613",
    "gpt-4-turbo": "2024-04-09",
    "gpt-4.1": "2025-04-14",
    "gpt-4.1-mini": "2025-04-14",
    "gpt-4.1-nano": "2025-04-14",
    "gpt-4o": "2024-08-06",
    "gpt-4o-mini": "2024-07-18",
    "gpt-5": "2025-08-07",
    "gpt-5-mini": "2025-08-07",
    "gpt-5-nano": "2025-08-07",
    "gpt-5-pro": "2025-10-06",
    "gpt-5.1": "2025-11-13",
    "gpt-5.2": "2025-12-11",
    "gpt-5.2-pro": "2025-12-11",
    "gpt-5.4-mini": "2026-03-17",
    "gpt-5.4-nano": "2026-03-17",
    "gpt-5.5": "2026-04-23",
    "gpt-5.5-pro": "2026-04-23",
    "o1": "2024-12-17",
    "o1-pro": "2025-03-19",
    "o3": "2025-04-16",
    "o3-deep-research": "2025-06-26",
    "o3-mini": "2025-01-31",
    "o3-pro": "2025-06-10",
    "o4-mini": "2025-04-16",
    "o4-mini-deep-research": "2025-06-26",
}
_SNAPSHOTS = {name: f"{name}-{date}" for name, date in _DATES.items()}


def snapshot(model: str) -> str:
    """The dated name of a model; one that has a date already, or that nobody knows, stays as it is."""
    return _SNAPSHOTS.get(model, model)
