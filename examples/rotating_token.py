"""A token in a file that something else renews: a Kubernetes secret, Vault, a cron job.

    python examples/rotating_token.py requests.jsonl /var/run/secrets/api-token

The provider is called for each request and rereads the file each time, so a wait of a day outlives any number of
tokens. If the service refuses one that was replaced at that very moment, the provider is called once more.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from overlay import Client


def token_in(path: str) -> Callable[[], str]:
    """A token provider that reads a file."""

    def provide() -> str:
        return Path(path).read_text().strip()

    return provide


def main(requests: str, token_file: str) -> None:
    with Client(token=token_in(token_file)) as client:
        file = client.files.upload(requests)
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
        batch = client.batches.wait(batch.id, on_change=print)
        for result in client.batches.results(batch.id):
            print(result.custom_id, result.text if result.ok else result.error)


if __name__ == "__main__":
    main(*sys.argv[1:])
