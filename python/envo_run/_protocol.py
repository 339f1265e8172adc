"""A connection to a supervisor: docs/protocol.md from the client's side."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
from typing import Any, Optional

import envo_run as envo

from . import _forks

VERSION = 2


class Connection:
    """What it holds, it holds until it is released or closed, or this process ends.

    Requests are answered one after the other. A process that is forked from the one that connected has no part in it:
    what that leaves behind should hold nothing.
    """

    def __init__(self, stream: socket.socket, name: str, state: Optional[str] = None) -> None:
        self._stream = stream
        self._bytes = bytearray()
        self._last_id = 0
        self._lock = threading.Lock()
        self.owner = os.getpid()
        self.is_open = True
        _forks.connections.add(self)
        self.greeting = self.ask("hello", protocol=VERSION, client=name, state=state)["greeting"]

    @classmethod
    def open(cls, path: str, name: Optional[str] = None, state: Optional[str] = None) -> Optional["Connection"]:
        """``None``: nobody listens there, or is about to end, or it is the supervisor of another project than the one
        with this state folder: of the one that this one was copied from."""
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.connect(path)
        except OSError:
            stream.close()
            return None
        if not _is_own(stream):
            stream.close()
            return None
        try:
            return cls(stream, name or client_name(), state)
        except envo.SupervisorGone:
            stream.close()
            return None
        except BaseException:
            stream.close()
            raise

    def ask(self, op: str, **members: Any) -> Any:
        """The ``ok`` of the answer.

        :raises EnvoError: what the supervisor refuses, or that it has gone.
        """
        with self._lock:
            self._last_id += 1
            request = {"id": self._last_id, "op": op, **members}
            try:
                self._stream.sendall(json.dumps(request).encode() + b"\n")
            except OSError as error:
                raise self._gone() from error
            while True:
                reply = json.loads(self._line())
                # Answers to requests that an interrupt cut short are nobody's any more.
                if reply.get("id") not in (self._last_id, 0):
                    continue
                if "error" in reply:
                    from ._errors import refusal

                    raise refusal(reply["error"], members.get("names") or members.get("requested") or ())
                return reply["ok"]

    def _line(self) -> bytes:
        searched = 0
        while True:
            end = self._bytes.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._bytes[:end])
                del self._bytes[: end + 1]
                return line
            searched = len(self._bytes)
            try:
                more = self._stream.recv(65536)
            except OSError as error:
                raise self._gone() from error
            if not more:
                raise self._gone()
            self._bytes += more

    def _gone(self) -> "envo.SupervisorGone":
        self.close()
        return envo.SupervisorGone("the supervisor of the services has ended")

    def fileno(self) -> int:
        return self._stream.fileno()

    def cut(self) -> None:
        """Ends the connection for every process that has it, from whatever thread."""
        try:
            self._stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Ends it for this process; another one that has a copy goes on to hold."""
        self.is_open = False
        self._stream.close()


def _is_own(stream: socket.socket) -> bool:
    """Whether this user, and no other, listens at the other end."""
    option: Optional[int] = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    credentials = struct.Struct("3i")
    _pid, user, _group = credentials.unpack(stream.getsockopt(socket.SOL_SOCKET, option, credentials.size))
    return bool(user == os.geteuid())


def client_name() -> str:
    """How ``envo ps`` calls this process."""
    program = os.path.basename(sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c") else sys.executable)
    if program == "__main__.py":
        program = os.path.basename(os.path.dirname(sys.argv[0]))
    return f"{program} (pid {os.getpid()})"
