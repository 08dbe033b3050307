"""`python -m soak --kills 2000`: kills, and prints what came of it. Status 1 where anything was found."""

import argparse
import os
import random
import sys

from soak import team
from soak.campaign import Outcome, run
from soak.verdict import KINDS

_SHOWN = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--scale", type=float, default=1.0, help="what all delays are multiplied with")
    parser.add_argument("--lanes", type=int, default=24, help="services, each with one job at a time")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--team", type=int, default=0, help="rounds of three homes that share a project")
    given = parser.parse_args()
    outcome = run(given.kills, scale=given.scale, count=given.lanes, seed=given.seed)
    sys.stdout.write("\n".join([*report(outcome), ""]))
    shared = team.run(given.team, scale=given.scale / 4, seed=given.seed) if given.team else None
    if shared is not None:
        sys.stdout.write("\n".join(["", *report_team(shared), ""]))
    found = outcome.errors or any(outcome.findings(kind) for kind in KINDS)
    return 1 if found or (shared is not None and shared.findings) else 0


def report_team(outcome: team.Outcome) -> list[str]:
    counts = {
        "files of others deleted": outcome.deleted,
        "batches of others adopted or cancelled": outcome.touched,
        "lost": outcome.lost,
        "paid twice": outcome.paid_twice,
        "errors": outcome.errors,
    }
    return [
        (
            f"three homes in one project, seed {outcome.seed}: {outcome.workers:,} workers, "
            f"{outcome.kills:,} killed, {outcome.cleaned:,} files cleaned up, "
            f"{outcome.recovered:,} ledgers recovered, "
            f"{outcome.foreign:,} batches of a colleague"
        ),
        *(f"  {len(found):6,}  {name}" for name, found in counts.items()),
        *outcome.findings[:_SHOWN],
    ]


def report(outcome: Outcome) -> list[str]:
    account = (
        f"{outcome.kills:,} workers killed with SIGKILL, {outcome.workers:,} run, {len(outcome.lives):,} jobs, "
        f"{outcome.seconds:,.0f} s, {os.cpu_count()} cores, seed {outcome.seed}"
    )
    lines = [
        account,
        "",
        "services (seconds): late accept, list lag, deleted input file usable, grace",
    ]
    seen = sorted({(each.late, each.lag, each.linger, each.grace) for each in outcome.weathers})
    lines += [f"  {late:5.2f} {lag:5.2f} {linger:5.2f} {grace:5.2f}" for late, lag, linger, grace in seen]
    lines += ["", "at the services"]
    lines += [f"  {count:6,}  {name}" for name, count in outcome.account.items()]
    lines += ["", "points enumerated, by the life that they are of"]
    lines += [f"  {count:6,}  {name}" for name, count in outcome.enumerated.items()]
    lines += [f"  {outcome.died_at:6,}  of all these died at, {len(outcome.missed)} not come by"]
    lines += ["", "killed, by what was under way"]
    lines += [f"  {count:6,}  {name}" for name, count in sorted(outcome.kinds().items())]
    lines += ["", "killed, by the job's life"]
    lines += [f"  {count:6,}  {name}" for name, count in sorted(outcome.scenarios().items())]
    lines += ["", "jobs, by how many of their workers were killed"]
    lines += [f"  {count:6,}  {deaths}" for deaths, count in sorted(outcome.in_one_job().items())]
    lines += ["", "found"]
    for kind, meaning in KINDS.items():
        findings = outcome.findings(kind)
        lines += [
            f"  {len(findings):6,}  {kind}: {meaning}",
            *(f"          {each}" for each in findings[:_SHOWN]),
        ]
    lines += [f"  {len(outcome.errors):6,}  errors of workers that nobody killed"]
    return lines + outcome.errors[:_SHOWN]


if __name__ == "__main__":
    sys.exit(main())
