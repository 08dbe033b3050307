"""Fill the disk of `overlay serve` at every size: no file may grow past a limit, which is lifted some time later.

Whatever is refused is asked again, as clients do. In the end every batch has each of its lines once, and no line
has failed.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import httpx
from support.command_line import CommandLine
from support.model_server import ModelServer
from support.service_http import creation, jsonl, line, results, until

_LINES = 300


def persistently(ask):
    """The answer, once the disk has room for it; and how often it had none."""
    refused = 0
    while (answer := ask()).status_code == 507:
        refused += 1
        time.sleep(0.05)
    assert answer.status_code == 200, answer.text
    return answer.json(), refused


def filled(folder, model, size):
    """Two batches on a disk of this size; gives how often a request was refused, and a batch waited."""
    words = ("serve", "--port", "0", "--json", "--state", "state", "--upstream", model.url)
    with CommandLine(folder).start(*words) as process:
        url = json.loads(process.stdout.readline())["base_url"]
        limit = partial(resource.prlimit, process.pid, resource.RLIMIT_FSIZE)
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer any"}, timeout=60) as http:
            began = time.monotonic()
            limit((size, resource.RLIM_INFINITY))

            def roomy(ask):
                if time.monotonic() - began > 0.6:
                    limit((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                return ask()

            refusals, batches = 0, []
            for each in range(2):
                content = jsonl(line(f"{each}-{number}") for number in range(_LINES))
                sent = partial(
                    http.post, "/files", data={"purpose": "batch"}, files={"file": ("in.jsonl", content)}
                )
                file, refused = persistently(partial(roomy, sent))
                refusals += refused
                batch, refused = persistently(
                    partial(roomy, partial(http.post, "/batches", json=creation(file)))
                )
                refusals += refused
                batches.append(batch)
            waited = 0
            while time.monotonic() - began < 0.6:
                shown = [http.get(f"/batches/{each['id']}").json() for each in batches]
                waited += any(each["errors"] for each in shown)
                time.sleep(0.05)
            limit((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            for each, batch in enumerate(batches):
                ended = until(http, batch)
                assert ended["request_counts"] == {"total": _LINES, "completed": _LINES, "failed": 0}, ended
                assert results(http, ended["output_file_id"]).keys() == {
                    f"{each}-{number}" for number in range(_LINES)
                }
        process.terminate()
        assert process.wait(60) == 0
    return refusals, bool(waited)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, default=30)
    asked = parser.parse_args()
    refusals = waits = 0
    with ModelServer() as model:
        for number in range(asked.sizes):
            with tempfile.TemporaryDirectory() as folder:
                refused, waited = filled(Path(folder), model, 1 + number * 140_000 // asked.sizes)
                refusals, waits = refusals + refused, waits + waited
    sys.stdout.write(
        f"{asked.sizes} sizes of a disk: {refusals} requests refused and asked again, batches waited at {waits}"
        f" sizes; {2 * asked.sizes * _LINES:,} lines, 0 lost, 0 failed, {sum(model.answered.values()):,} asked\n"
    )


if __name__ == "__main__":
    main()
