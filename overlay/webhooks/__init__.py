"""Events that a service sends when a batch has ended: verified, and typed.

    from overlay import webhooks

    event = webhooks.unwrap(body, headers, secret=os.environ["OPENAI_WEBHOOK_SECRET"])
    print(event.type, event.batch_id)

An event is a hint, and never evidence: whoever acts on one asks the service first. `webhooks.app(client)` is an
application that receives them, and wakes whatever waits for their batches on this machine.
"""

from overlay.signatures import sign as sign, verify as verify
from overlay.webhooks.events import BatchEvent as BatchEvent, unwrap as unwrap
from overlay.webhooks.receiving import app as app

__all__ = ["BatchEvent", "app", "sign", "unwrap", "verify"]
