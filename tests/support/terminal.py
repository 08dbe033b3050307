"""A terminal of a size, in which a command runs: what is on it is read from an emulator, as a person sees it."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from contextlib import contextmanager

import pyte

PATIENCE = 30.0


class Terminal:
    """The screen of a running process."""

    def __init__(self, leader, process, columns, lines):
        self.process = process
        self._leader = leader
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self):
        """What is on the screen, without empty lines at the end."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    def until(self, wanted):
        """Let it go on until a line of the screen holds the text; gives the screen."""
        end = time.monotonic() + PATIENCE
        while not any(wanted in line for line in self.lines):
            assert time.monotonic() < end, "\n".join(self.lines)
            if not self._read(0.2) and self.process.poll() is not None and not self._read(0.0):
                break
        assert any(wanted in line for line in self.lines), "\n".join(self.lines)
        return self.lines

    def ended(self):
        """The screen when the process is over, and its exit status."""
        while self._read(PATIENCE):
            pass
        return self.lines, self.process.wait(timeout=PATIENCE)

    def _read(self, seconds):
        if not select.select([self._leader], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._leader, 65536)
        except OSError:  # Linux's way to say that the other side has closed
            return False
        self._stream.feed(piece)
        return bool(piece)


@contextmanager
def terminal(words, *, columns=80, lines=24, env, cwd):
    """Run a command in a terminal of this size."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        words, cwd=cwd, env=env, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    )
    os.close(follower)
    try:
        yield Terminal(leader, process, columns, lines)
    finally:
        process.kill()
        process.wait()
        os.close(leader)
