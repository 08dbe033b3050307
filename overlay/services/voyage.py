"""Voyage's creates: the model stands beside the lines, among the parameters of every request.

As documented by Voyage AI, "Batch Inference", https://docs.voyageai.com/docs/batch-inference.
"""

from __future__ import annotations

import attrs

from overlay.lines import is_object
from overlay.services.profile import Dialect, Sent


def _request(sent: Sent) -> Sent:
    if sent.operation != "create" or not is_object(sent.json) or "model" not in sent.json:
        return sent
    body = dict(sent.json)
    given = body.get("request_params")
    body["request_params"] = {"model": body.pop("model"), **(given if is_object(given) else {})}
    return attrs.evolve(sent, json=body)


VOYAGE = Dialect(request=_request)
