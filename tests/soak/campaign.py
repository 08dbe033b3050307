"""Many lanes, side by side, until so many workers have been killed."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

import attrs

from soak.lane import Lane, Life, lanes
from soak.plan import STRETCHES, Death, Plan, lives, spread
from soak.weather import Weather, weathers


@attrs.define
class Outcome:
    """What came of it."""

    seed: int
    seconds: float
    weathers: list[Weather]
    enumerated: dict[str, int]
    """How many points there are in each stretch of a life."""
    lives: list[Life]
    account: Counter[str]
    """What happened at the services."""

    @property
    def kills(self) -> int:
        return sum(len(life.deaths) for life in self.lives)

    @property
    def workers(self) -> int:
        return sum(life.workers for life in self.lives)

    @property
    def died_at(self) -> int:
        """Of how many enumerated points a worker died."""
        return sum(_counted(life) in life.deaths for life in self.lives if life.plan.counted is not None)

    @property
    def missed(self) -> list[Death]:
        """The enumerated points that were not come by."""
        counted = [(life, _counted(life)) for life in self.lives if life.plan.counted is not None]
        return [death for life, death in counted if death not in life.deaths]

    def kinds(self) -> Counter[str]:
        """Deaths by what was under way."""
        return Counter(death.kind for life in self.lives for death in life.deaths)

    def scenarios(self) -> Counter[str]:
        return Counter(life.plan.scenario for life in self.lives for _ in life.deaths)

    def in_one_job(self) -> Counter[int]:
        """Jobs by how many of their workers died."""
        return Counter(len(life.deaths) for life in self.lives)

    def findings(self, kind: str) -> list[str]:
        """Accounts of what is `lost`, of `duplicates`, of what is `torn` or `left`."""
        return [finding for life in self.lives for finding in getattr(life.faults, kind)]

    @property
    def errors(self) -> list[str]:
        """What workers that nobody killed ended with."""
        return [error for life in self.lives for error in life.errors]


def _counted(life: Life) -> Death:
    assert life.plan.counted is not None
    return life.plan.deaths[life.plan.counted]


def run(kills: int, *, scale: float, count: int, seed: int) -> Outcome:
    """Kill at least so many workers, in `count` lanes at a time, with all seconds multiplied by `scale`."""
    began = time.monotonic()
    dice = random.Random(seed)
    with Lane(0, None, scale) as calm:
        reached = {name: calm.trace(stretch.plan) for name, stretch in STRETCHES.items()}
        longest = time.monotonic() - began
        calm.judge()
    found = {name: STRETCHES[name].plans(points) for name, points in reached.items()}
    plans = spread(itertools.chain.from_iterable(found.values()), dice)
    every = weathers(count, scale)
    with lanes(every, scale) as all_lanes:
        # Where so many are to die that there is one for each point, each point has its one.
        least = len(plans) if kills > len(plans) else 0
        _work(all_lanes, lives(plans, longest / len(STRETCHES) / 2, dice), kills, least)
    done = [life for lane in (calm, *all_lanes) for life in lane.lives]
    enumerated = {name: len(points) for name, points in found.items()}
    account = sum((lane.account for lane in all_lanes), calm.account)
    return Outcome(seed, time.monotonic() - began, every, enumerated, done, account)


def _work(all_lanes: list[Lane], plans: Iterator[Plan], kills: int, least: int) -> None:
    """Live until so many have been killed, and at least so many plans have been begun."""
    guard = threading.Lock()
    problems: list[BaseException] = []
    begun = 0

    def killed() -> int:
        return sum(len(life.deaths) for lane in all_lanes for life in list(lane.lives))

    def work(lane: Lane) -> None:
        nonlocal begun
        try:
            while (killed() < kills or begun < least) and not problems:
                with guard:
                    plan = next(plans)
                    begun += 1
                lane.live(plan)
            lane.judge()
        except BaseException as problem:  # noqa: BLE001 - raised below
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in all_lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
