"""Kills workers of durable jobs with SIGKILL, over and over, and asks the service afterwards what it was paid for.

    python -m soak --kills 2000

- `steps`: every point at which a worker touches the disk or the network, by name, and dying there.
- `scenarios`: what a worker does; the same calls again after each kill, as a user would.
- `worker`: the process that forks the ones which die.
- `weather`: the service, and what is wrong with it.
- `plan`: who dies where.
- `lane`: one service, one home folder, jobs one after another.
- `team`: three home folders in one project, and a colleague.
- `forker`: whoever has a process that forks workers.
- `verdict`: what is lost, paid twice or torn, by the service's own records and the files on disk.
"""
