"""Run as a script: jobs on a disk on which no file grows past a limit, once for each of many limits.

It prints, for each limit, how often a job was stopped before it came to its end.
"""

import resource
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

from overlay import StorageError, WaitTimeoutError
from support.calling import calling
from support.job_scene import Scene
from support.job_steps import chats, custom_ids

LIMITS = [0, 100, 300, *range(1000, 6000, 1500), *range(8000, 130_000, 8000)]


def limited(size):
    """Let no file grow past so many bytes: what goes beyond is refused, as on a full disk (setrlimit(2))."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def attempt(scene, requests):
    """Go on with the job as far as the disk lets it; whether it has ended."""
    scene.jobs.submit(requests, id="j")
    for batch in scene.fake.live():
        if batch.key[-1] == "0":
            scene.fake.expire(batch, len(batch.lines) // 2)
        else:
            scene.fake.complete(batch)
    return scene.jobs.wait("j", timeout=600).ended


def job_on_a_disk_of(size, folder):
    requests = chats(60, models=2)
    said = []
    with calling("blocking", token="t", base_url="https://api.example/v1", home=folder) as api:
        scene = Scene(partial(existing, api))
        scene.fake.padding = 3000
        for room in (size, size, resource.RLIM_INFINITY):
            try:
                limited(room)
                ended = attempt(scene, requests)
            except StorageError as error:
                said.append(str(error))
            except WaitTimeoutError:
                pass
            else:
                assert ended
            finally:
                limited(resource.RLIM_INFINITY)
        assert scene.finish().ok == 60
        assert custom_ids(scene.jobs.results("j")) == custom_ids(requests)
        assert not scene.fake.several_live
        assert len(scene.fake.batches) <= 4
        kept = {"accounts.db", "id", "jobs", "services.json", "spool"}
        assert {path.name for path in Path(folder).iterdir()} <= kept
        assert not list((Path(folder) / "spool").iterdir())
    assert "\n" not in "".join(said)
    return len(said)


def existing(api, base_url, *, transport, clock):
    api.settings.transport, api.settings.clock = transport, clock
    return api


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in LIMITS:
        with tempfile.TemporaryDirectory(dir=sys.argv[1]) as home:
            print(limit, job_on_a_disk_of(limit, home), flush=True)  # noqa: T201 - for who started it
