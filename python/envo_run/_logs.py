"""Reading what a service wrote, from the files in which the supervisor keeps it."""

from __future__ import annotations

import datetime
import os
import time
from typing import Optional, Tuple, Union

#: When something was written: seconds since 1970, a moment, or how long ago.
Since = Union[float, datetime.datetime, datetime.timedelta]

#: A place in a log: its file's inode, for a log that was put aside meanwhile is another file, and the position there.
Mark = Tuple[int, int]

BEGINNING: Mark = (0, 0)

#: How often a log is looked at that grows meanwhile.
_LOOKS = 5


def mark(path: str) -> Mark:
    """Where a log ends now."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return BEGINNING
    return status.st_ino, status.st_size


def mark_of_all_written(path: str, pid: int) -> Mark:
    """Where a log ends once what its process has written until now is in it."""
    before = mark(path)
    for _ in range(_LOOKS):
        waiting = on_its_way(pid)
        after = mark(path)
        if after == before:
            # Nothing went from the pipe to the file between the two looks, so that nothing counts twice.
            return after[0], after[1] + waiting
        before = after
    return before


def on_its_way(pid: int) -> int:
    """How many bytes a process has written that are not in its log yet, but in the pipe to envo, as far as that can be seen."""
    import fcntl
    import stat
    import struct
    import termios

    path = f"/proc/{pid}/fd/1"
    try:
        if not stat.S_ISFIFO(os.stat(path).st_mode):
            return 0
        pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            (waiting,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, struct.pack("i", 0)))
        finally:
            os.close(pipe)
    except OSError:
        # It has ended, or this system does not tell.
        return 0
    return int(waiting)


def since_mark(path: str, begin: Mark, most: Optional[int] = None) -> str:
    """What was written since ``begin``, or of that the last ``most`` bytes."""
    inode, position = begin
    parts = []
    aside = path + ".1"
    if inode and _inode(path) != inode:
        if _inode(aside) == inode:
            parts.append(_read(aside, position, most))
        parts.append(_read(path, 0, most))
    else:
        parts.append(_read(path, position, most))
    text = b"".join(parts)
    return (text if most is None else text[-most:]).decode("utf-8", "replace")


def seconds(since: Since) -> float:
    """A moment as seconds since 1970."""
    if isinstance(since, datetime.timedelta):
        return time.time() - since.total_seconds()
    if isinstance(since, datetime.datetime):
        return since.timestamp()
    return float(since)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def _read(path: str, begin: int, most: Optional[int]) -> bytes:
    try:
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if most is not None:
                begin = max(begin, length - most)
            file.seek(begin)
            return file.read(max(length - begin, 0))
    except FileNotFoundError:
        return b""
