"""What a job took, by model, in the service's own counts."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class ModelReceipt:
    """What one model's requests took."""

    model: str | None
    requests: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    """At batch rates, in dollars or the currency of your prices; None where no batch rate is known."""


@attrs.frozen(kw_only=True)
class Receipt:
    """What a job has taken so far, by the tokens that the service counted. What it does not count is not in it."""

    models: tuple[ModelReceipt, ...]

    @property
    def input_tokens(self) -> int:
        return sum(each.input_tokens for each in self.models)

    @property
    def output_tokens(self) -> int:
        return sum(each.output_tokens for each in self.models)

    @property
    def cost(self) -> float | None:
        """Of all models; None where the batch rate of one is not known."""
        costs = [each.cost for each in self.models if each.cost is not None]
        return sum(costs) if len(costs) == len(self.models) else None
