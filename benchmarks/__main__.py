"""Run the benchmarks: `python -m benchmarks [NAME …]`, all of them without a name; `--help` lists them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from benchmarks import calls, checking, importing, jobs, million, tables, telemetry, transfers
from benchmarks.measuring import Figure, machine, table
from benchmarks.setting import LINES, Setting, prepared

BENCHMARKS: dict[str, Callable[[Setting], list[Figure]]] = {
    "upload": transfers.upload,
    "results": transfers.results,
    "joined": transfers.joined,
    "retrieve": calls.retrieve,
    "list": calls.listing,
    "import": importing.importing,
    "spool": jobs.spool,
    "bodies": checking.bodies,
    "job-results": jobs.job_results,
    "map": tables.mapped,
    "telemetry": telemetry.telemetry,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 if all targets are met, 1 if one is missed."""
    chosen = _parser().parse_args(arguments)
    names = chosen.names or [*BENCHMARKS]
    print(f"{machine()}; medians of {chosen.rounds} pairs\n", flush=True)
    figures: list[Figure] = []
    with prepared(rounds=chosen.rounds, lines=chosen.lines) as setting:
        for name in names:
            if name == "million":
                million.run(chosen.requests, lambda line: print(line, flush=True))
                continue
            print(f"{name} …", file=sys.stderr, flush=True)
            figures += BENCHMARKS[name](setting)
    if figures:
        print(table(figures))
    return int(any(figure.met is False for figure in figures))


def _parser() -> argparse.ArgumentParser:
    described = [f"  {name:12} {_first_line(function)}" for name, function in BENCHMARKS.items()]
    described.append(f"  {'million':12} {_first_line(million)} (only if named)")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="benchmarks:\n" + "\n".join(described),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", choices=[[], *BENCHMARKS, "million"], help="see below"
    )
    parser.add_argument("--rounds", type=int, default=15, help="pairs of runs for each figure (default: 15)")
    parser.add_argument(
        "--lines", type=int, default=LINES, help=f"lines of the files, 4 KB each (default: {LINES:,})"
    )
    parser.add_argument(
        "--requests", type=int, default=million.REQUESTS, help="requests of `million` (default: 1,000,000)"
    )
    return parser


def _first_line(described: object) -> str:
    return (described.__doc__ or "").strip().partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
