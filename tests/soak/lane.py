"""One service, one home folder, one process that forks workers; jobs one after another, each killed as planned."""

import contextlib
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import attrs

from soak import verdict
from soak.forker import Forker
from soak.plan import Death, Plan
from soak.scenarios import LOSE_LEDGER, SCENARIOS, Order, Report
from soak.weather import TroubledService, Weather

_CALM_GRACE = 4.0
"""Seconds, times the scale, where nothing is wrong with the service."""
_ATTEMPTS = 6
"""Workers for one stage of a job at most: four die, one ends."""


@attrs.define
class Life:
    """One job: who died, and what was wrong with it in the end."""

    job_id: str
    plan: Plan
    deaths: list[Death] = attrs.field(factory=list)
    missed: list[Death] = attrs.field(factory=list)
    """Those planned that did not come about: the job had ended before."""
    workers: int = 0
    errors: list[str] = attrs.field(factory=list)
    faults: verdict.Faults = attrs.field(factory=verdict.Faults)


class Lane:
    """Jobs on one service. For `with`."""

    def __init__(self, number: int, weather: Weather | None, scale: float, *, careless: bool = False) -> None:
        """`careless` is for jobs that look once for a lost create and send it again, to see that it is noticed."""
        self.lives: list[Life] = []
        self.account: Counter[str] = Counter()
        self.weather = weather
        self._scale = scale
        self._number = number
        self._careless = careless
        self._ids = itertools.count(1)
        self._troubled = TroubledService(weather, scale)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
            self._home = folder / "home"
            stack.enter_context(self._troubled.service)
            self._forker = stack.enter_context(Forker(folder / "notes", careless=self._careless))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def trace(self, plan: Plan) -> list[tuple[str, int]]:
        """The points that the last worker of a job comes by, after those in the plan have died."""
        return self._run(plan, trace=True)[1].reached

    def live(self, plan: Plan) -> Life:
        """Run a job, with its deaths, to its end."""
        return self._run(plan)[0]

    def _run(self, plan: Plan, *, trace: bool = False) -> tuple[Life, Report]:
        life = Life(f"job-{self._number:03}-{next(self._ids):05}", plan)
        self.lives.append(life)
        report = Report()
        first, deadly, then = SCENARIOS[plan.scenario]
        for stage in first:
            if stage == LOSE_LEDGER:
                # What the list does not show yet cannot be recovered from it.
                time.sleep(self.weather.settled if self.weather else 0)
                (self._home / "jobs" / life.job_id / "ledger.db").write_bytes(b"This was a ledger." * 500)
            else:
                self._attempt(life, plan, stage, None)
        for death in (*plan.deaths, *(None for _ in range(_ATTEMPTS))):
            report = self._attempt(life, plan, deadly, death, trace=trace)
            if report.killed and death:
                life.deaths.append(death)
            elif death:
                life.missed.append(death)
            if not report.killed and (death is None or report.error):
                break
        for stage in then:
            self._attempt(life, plan, stage, None)
        life.faults = verdict.on_disk(self._home, life.job_id, plan.scenario, self._troubled)
        return life, report

    def _attempt(
        self, life: Life, plan: Plan, stage: str, death: Death | None, *, trace: bool = False
    ) -> Report:
        life.workers += 1
        grace = self.weather.grace if self.weather else _CALM_GRACE * self._scale
        report = self._forker.order(
            Order(
                base_url=self._troubled.service.base_url,
                home=str(self._home),
                job_id=life.job_id,
                stage=stage,
                grace=grace,
                poll=0.5 * self._scale,
                is_async=plan.is_async,
                delete_files=plan.delete_files,
                fatal=death.point if death else None,
                after=death.after if death else None,
                trace=trace,
            )
        )
        if report.error:
            life.errors.append(report.error)
        return report

    def judge(self) -> None:
        """When nothing can come to light any more: what the service's own records say of every job."""
        if self.weather:
            time.sleep(self.weather.settled)
        self.live(Plan("answer"))  # whoever submits next puts away what the dead have left
        time.sleep(self._scale)
        self._troubled.service.settle()
        batches = self._troubled.service.batches()
        for life in self.lives:
            life.faults += verdict.at_service(
                life.job_id, life.plan, life.faults.successes, batches, self._troubled
            )
        self.lives[-1].faults += verdict.spool(self._home)
        self.account = verdict.account(batches, self._troubled)


@contextlib.contextmanager
def lanes(weathers: list[Weather], scale: float) -> Iterator[list[Lane]]:
    """A lane for each weather."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Lane(number, each, scale)) for number, each in enumerate(weathers)]
