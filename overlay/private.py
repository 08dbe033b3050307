"""Folders and files that are their owner's alone, whatever the umask: requests and answers are somebody's data.

A folder of ours has the mode 0700 and a file 0600. Neither is reached through a link that another user made, nor
used if it belongs to another user: who can place a link in a folder could have us write wherever we may. The
superuser is nobody's stranger, and may use what belongs to others, but follows no link of theirs.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from overlay.errors import StorageError

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_OTHERS = 0o077
_SUPERUSER = 0


def make_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, with those above it, or make it so.

    Raises StorageError if it belongs to another user, or is a link that another user made; OSError.
    """
    try:
        path.mkdir(mode=FOLDER_MODE)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        pass
    status = check_owner(path)
    if (
        status.st_uid == os.geteuid()
        and stat.S_ISDIR(status.st_mode)
        and stat.S_IMODE(status.st_mode) != FOLDER_MODE
    ):
        path.chmod(FOLDER_MODE)


def check_owner(path: Path) -> os.stat_result:
    """What the operating system knows of a file or folder, if it is the user's own.

    Raises StorageError if it belongs to another user, or is a link that another user made; OSError.
    """
    link = path.lstat()
    me = os.geteuid()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (_SUPERUSER, me):
        raise StorageError(
            f"{path}: a link that user {link.st_uid} made; it is not followed, since it may lead to files of "
            "yours. Remove it, or use another folder with OVERLAY_HOME",
            path=path,
        )
    status = path.stat()
    if me != _SUPERUSER and status.st_uid not in (_SUPERUSER, me):
        raise StorageError(
            f"{path}: belongs to user {status.st_uid}, not to you (user {me}); "
            "use a folder of your own with OVERLAY_HOME",
            path=path,
        )
    return status


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """A handle of a file that is the user's own; if this makes it, its mode is 0600.

    Raises StorageError, OSError.
    """
    target = Path(path)
    with suppress(FileNotFoundError):
        check_owner(target)
    follow = 0 if target.is_symlink() else os.O_NOFOLLOW
    handle = os.open(target, flags | os.O_CLOEXEC | follow, FILE_MODE)
    try:
        status = os.fstat(handle)
        if (
            flags & os.O_CREAT
            and status.st_uid == os.geteuid()
            and stat.S_ISREG(status.st_mode)
            and stat.S_IMODE(status.st_mode) != FILE_MODE
        ):
            os.fchmod(handle, FILE_MODE)  # whatever the umask has made of it
    except BaseException:
        os.close(handle)
        raise
    return handle


def make_file(path: Path) -> Path:
    """Make an empty file, and return its path. Raises FileExistsError if there is one, OSError."""
    os.close(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    return path


def is_private(folder: Path) -> bool:
    """Whether only its owner may enter a folder."""
    return not folder.stat().st_mode & _OTHERS
