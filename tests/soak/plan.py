"""Who dies where: every enumerated point of every kind of life, and any moment besides."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import attrs

_MOST = 4
"""Deaths in one job."""
_AGAIN = 4
_OFTEN = {"GET /batches": 2, "POST /files body": 3}
"""Of what happens so often, or so differently from run to run, only the first few are enumerated."""


@attrs.frozen
class Death:
    """At a point, by its name and the how many-th of that name; or so many seconds after the beginning."""

    point: tuple[str, int] | None = None
    after: float | None = None

    @property
    def kind(self) -> str:
        """For the account: what was under way."""
        if self.point is None:
            return "any moment"
        words = self.point[0].split()
        return f"{words[0]}, {words[-1]}"


@attrs.frozen
class Plan:
    """A job's life."""

    scenario: str
    deaths: tuple[Death, ...] = ()
    is_async: bool = False
    delete_files: bool = False
    counted: int | None = None
    """Which of the deaths is at a point that was enumerated."""


@attrs.frozen
class Stretch:
    """The part of a life whose points are enumerated: after the deaths of `plan`, between two points."""

    plan: Plan
    since: str = ""
    until: str = "?"

    def plans(self, reached: Iterable[tuple[str, int]]) -> list[Plan]:
        """One life for each of the points that a worker came by."""
        found = []
        begun = False
        for name, nth in reached:
            begun = begun or self.since in name
            if self.until in name:
                break
            if begun and not name.endswith("during") and nth <= _enumerated(name):
                deaths = (*self.plan.deaths, Death((name, nth)))
                found.append(attrs.evolve(self.plan, deaths=deaths, counted=len(deaths) - 1))
        return found


def _enumerated(name: str) -> float:
    return min((most for often, most in _OFTEN.items() if often in name), default=float("inf"))


_SENT = Death(("send POST /batches body, after", 2))
_UNSENT = Death(("send POST /batches, before", 2))
_RESULTS = "GET /files/*/content"
STRETCHES = {
    "undisturbed": Stretch(Plan("answer")),
    "taking up an unanswered create": Stretch(Plan("answer", (_SENT,)), until=_RESULTS),
    "taking up an unsent create": Stretch(Plan("answer", (_UNSENT,)), until=_RESULTS),
    "reusing answers, and asking once what is asked twice": Stretch(Plan("spare")),
    "cancel": Stretch(Plan("cancel"), since="/cancel"),
    "delete": Stretch(Plan("delete")),
    "recover": Stretch(Plan("recover")),
}


def spread(plans: Iterable[Plan], dice: random.Random) -> list[Plan]:
    """In random order, but with one of every kind of point before the second of any, and among those of a kind with
    one in every stretch of a life before the second in any.
    """
    kinds: dict[str, dict[Any, list[Plan]]] = defaultdict(lambda: defaultdict(list))
    for plan in plans:
        kinds[plan.deaths[-1].kind][plan.scenario, plan.deaths[:-1]].append(plan)
    for stretches in kinds.values():
        for each in stretches.values():
            dice.shuffle(each)
    return _in_turn([_in_turn(stretches.values(), dice) for stretches in kinds.values()], dice)


def _in_turn(lists: Iterable[list[Plan]], dice: random.Random) -> list[Plan]:
    """One of each list, in any order, then the second of each, and so on."""
    rounds = zip_longest(*lists)
    return [plan for each in rounds for plan in dice.sample(each, len(each)) if plan is not None]


def lives(plans: list[Plan], longest: float, dice: random.Random) -> Iterator[Plan]:
    """Every plan once, and then lives with deaths at any moment for ever. `longest` is in seconds.

    Each has up to four deaths.
    """
    points = [plan.deaths[-1] for plan in plans if _comes_again(plan)]
    # Where it hurts most: a create that was sent, and that nobody lives to hear of.
    creates = [death for death in points if death.point and "POST /batches" in death.point[0]]
    for plan in plans:
        deaths = list(plan.deaths)
        for _ in range(dice.randint(1, _MOST - len(deaths))):
            moment = Death(after=dice.uniform(0.0, longest))
            others = [moment, *(dice.choice(each) for each in (points, creates) if plan.scenario == "answer")]
            deaths.append(dice.choice(others))
        yield _varied(plan, deaths, dice)
    while True:
        deaths = [Death(after=dice.uniform(0.0, longest)) for _ in range(dice.randint(1, _MOST))]
        yield _varied(Plan(dice.choice(["answer", "answer", "spare"])), deaths, dice)


def _comes_again(plan: Plan) -> bool:
    """Whether a worker that takes up another's job may come by the point: its requests are on disk already."""
    name, nth = plan.deaths[-1].point or ("", 0)
    return plan.scenario == "answer" and nth <= _AGAIN and ("job-" in name or " /" in name)


def _varied(plan: Plan, deaths: list[Death], dice: random.Random) -> Plan:
    return attrs.evolve(
        plan, deaths=tuple(deaths), is_async=dice.random() < 0.25, delete_files=dice.random() < 0.25
    )
