"""Every point at which a process touches the disk or the network, by name; and dying there.

Put under the SDK at run time, below everything that it is made of: the sockets, the files, the system calls that
change names, and SQLite's commits. Nothing in the SDK knows of it.

Each touch has points `before` and `after` it, and `during` it: there another thread kills the process a moment
later, while the call is under way. What sends or writes bytes has `torn` as well: half of them went out.
"""

import io
import os
import random
import re
import signal
import socket
import sqlite3
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_DURING = 0.004
"""Seconds: what the calls take, more or less."""
_REQUEST = re.compile(rb"(GET|POST|DELETE) (?:/v1)?(\S+) HTTP/1")
_IDS = re.compile(r"(?:batch_|file-)\w+")
_HEX = re.compile(r"[0-9a-f]{16}|(?<=soak-)\w+")
_NUMBERS = re.compile(r"\d+")


class Steps:
    """Counts the points that are reached, and dies at the `nth` of a name, if that is asked for."""

    def __init__(self) -> None:
        self.reached: list[tuple[str, int]] = []
        self._counts: Counter[str] = Counter()
        self._guard = threading.Lock()
        self._fatal: tuple[str, int] | None = None

    def begin(self, fatal: tuple[str, int] | None) -> None:
        self.reached.clear()
        self._counts.clear()
        self._fatal = fatal

    def reach(self, name: str) -> bool:
        """Note a point; True where it is the one to die at."""
        with self._guard:
            self._counts[name] += 1
            point = name, self._counts[name]
            self.reached.append(point)
        return point == self._fatal

    def pass_(self, name: str) -> None:
        if self.reach(name):
            die()

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        self.pass_(f"{name}, before")
        if self.reach(f"{name}, during"):
            threading.Thread(target=_die_soon, daemon=True).start()
        yield
        self.pass_(f"{name}, after")


steps = Steps()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_soon() -> None:
    time.sleep(random.uniform(0, _LONGEST_DURING))
    die()


def place(path: object) -> str:
    """A path's name without what differs from run to run."""
    text = "/".join(Path(os.fsdecode(path)).parts[-2:])
    text = _IDS.sub("*", text)
    return _NUMBERS.sub("#", _HEX.sub("*", text))


def install() -> None:
    """Put the points under everything in this process."""
    _sockets()
    _files()
    _names()
    _commits()


def _sockets() -> None:
    requests: weakref.WeakKeyDictionary[socket.socket, str] = weakref.WeakKeyDictionary()
    send, recv = socket.socket.send, socket.socket.recv

    def stepping_send(self, data, *flags):
        head = _REQUEST.match(bytes(data[:200]))
        if head:
            path = _IDS.sub("*", head[2].decode().partition("?")[0])
            requests[self] = f"{head[1].decode()} {path}"
        if self not in requests:  # an event loop's own
            return send(self, data, *flags)
        name = f"send {requests[self]}{'' if head else ' body'}"
        if steps.reach(f"{name}, torn"):
            send(self, data[: len(data) // 2], *flags)
            die()
        with steps.around(name):
            return send(self, data, *flags)

    def stepping_recv(self, *size):
        if self not in requests:
            return recv(self, *size)
        with steps.around(f"receive {requests[self]}"):
            return recv(self, *size)

    socket.socket.send = stepping_send
    socket.socket.recv = stepping_recv


class _File(io.FileIO):
    def write(self, data):
        name = f"write {place(self.name)}"
        if steps.reach(f"{name}, torn"):
            super().write(memoryview(data)[: len(data) // 2])
            die()
        with steps.around(name):
            return super().write(data)


def _files() -> None:
    open_ = Path.open

    def stepping_open(self, mode="r", buffering=-1, *rest, **options):
        if mode in {"wb", "xb"}:
            return io.BufferedWriter(
                _File(self, mode), buffering if buffering > 0 else io.DEFAULT_BUFFER_SIZE
            )
        if mode == "r+b":
            return io.BufferedRandom(_File(self, mode))
        return open_(self, mode, buffering, *rest, **options)

    Path.open = stepping_open


def _names() -> None:
    for verb, named in (
        ("rename", 1),
        ("replace", 1),
        ("unlink", 0),
        ("rmdir", 0),
        ("mkdir", 0),
        ("pwrite", None),
        ("ftruncate", None),
        ("fsync", None),
    ):
        setattr(os, verb, _stepping(verb, getattr(os, verb), named))


def _stepping(verb, call, named):
    def stepping(*args, **options):
        where = f"/proc/self/fd/{args[0]}" if named is None else args[named]
        if named is None:
            where = Path(where).readlink() if os.path.islink(where) else "a file"  # noqa: PTH114
        with steps.around(f"{verb} {place(where)}"):
            return call(*args, **options)

    return stepping


class _Connection(sqlite3.Connection):
    def __init__(self, database, *args, **options):
        self._place = place(database)
        super().__init__(database, *args, **options)

    def execute(self, statement, *values):
        if statement != "COMMIT":
            return super().execute(statement, *values)
        with steps.around(f"commit {self._place}"):
            return super().execute(statement, *values)


def _commits() -> None:
    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **options: connect(*args, factory=_Connection, **options)
