"""What the processes of one test run share: a number of the run, and a keeper of what any of them holds.

A worker that is killed should not take a service with it that others use, and a service that only one worker has used so
far should be there when the next one asks. So a worker hands a copy of its connection to the process that leads the run,
which keeps it until the end. The kernel does the rest: when the leader dies, however it dies, so do its copies.
"""

from __future__ import annotations

import _thread
import array
import fcntl
import json
import os
import select
import socket
import tempfile
import threading
from typing import Any, List, Optional, Set, Tuple

_LISTEN = 4096

#: Seconds that a worker has to tidy up when its leader was killed.
_FAREWELL = 1.0


class RunNumber:
    """Tells apart the test runs of one project that go on at the same time: the lowest number that is free."""

    def __init__(self, state: str) -> None:
        folder = os.path.join(state, "runs")
        os.makedirs(folder, exist_ok=True)
        self.number = 0
        while True:
            file = os.open(os.path.join(folder, str(self.number)), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                self.number += 1
                continue
            self._file = file
            return

    def close(self) -> None:
        os.close(self._file)


class Keeper:
    """The leader's side: takes in copies of connections, and holds them."""

    def __init__(self) -> None:
        folder = _private_folder()
        _remove_stale(folder)
        self.path = os.path.join(folder, f"run-{os.getpid()}.socket")
        self._owner = os.getpid()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        # What was sent waits in the kernel until somebody looks, and counts as held meanwhile.
        self._listener.listen(_LISTEN)
        self._listener.setblocking(False)
        self._senders: List[socket.socket] = []
        self._held: List[int] = []
        #: What is held, by the names of instances.
        self.names: Set[str] = set()

    def drain(self) -> None:
        """Takes in what came since the last time."""
        while True:
            try:
                sender, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                break
            sender.setblocking(False)
            self._senders.append(sender)
        self._senders = [sender for sender in self._senders if self._hear(sender)]

    def _hear(self, sender: socket.socket) -> bool:
        while True:
            try:
                message, descriptors = _receive(sender)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                message, descriptors = b"", []
            if not message:
                sender.close()
                return False
            names = {str(name) for line in message.splitlines() for name in json.loads(line)}
            if names <= self.names:
                for descriptor in descriptors:
                    os.close(descriptor)
            else:
                self.names |= names
                self._held += descriptors

    def close(self) -> None:
        """Lets go of everything."""
        self._listener.close()
        for sender in self._senders:
            sender.close()
        for descriptor in self._held:
            os.close(descriptor)
        self._held = []
        if os.getpid() == self._owner:
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass


class Sender:
    """A worker's side."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: Optional[socket.socket] = None
        self._owner = 0
        self._connections: List[Any] = []

    def send(self, connection: Any, names: List[str]) -> bool:
        """Hands over a copy of ``connection``, which holds ``names``. ``False``: there is nobody to take it."""
        if self._socket is None or self._owner != os.getpid():
            stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                stream.connect(self._path)
            except OSError:
                stream.close()
                return False
            self._socket, self._owner = stream, os.getpid()
            threading.Thread(target=self._watch, args=(stream,), name="envo-leader", daemon=True).start()
        message = json.dumps(names).encode() + b"\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))]
        self._connections.append(connection)
        try:
            self._socket.sendmsg([message], rights)
        except OSError:
            return False
        return True

    def _watch(self, stream: socket.socket) -> None:
        """A worker whose leader was killed would go on for seconds, for nobody. Services should not, and nor should it."""
        try:
            while stream.recv(1):
                pass
        except OSError:
            pass
        for connection in self._connections:
            connection.cut()
        # The test that runs may tidy up, if that does not take long.
        _thread.interrupt_main()
        select.select([], [], [], _FAREWELL)
        os._exit(1)


def _receive(stream: socket.socket) -> Tuple[bytes, List[int]]:
    space = socket.CMSG_SPACE(array.array("i", [0]).itemsize)
    message, ancillary, _, _ = stream.recvmsg(65536, space, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return message, list(descriptors)


def _private_folder() -> str:
    """Where the supervisors' sockets are, or one like it: nobody else may look into it."""
    user = os.geteuid()
    candidates = [os.path.join(tempfile.gettempdir(), f"envo-{user}"), f"/tmp/envo-{user}"]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        candidates.insert(0, os.path.join(runtime, "envo"))
    for folder in candidates:
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            status = os.lstat(folder)
        except OSError:
            continue
        if status.st_uid == user and status.st_mode & 0o077 == 0 and len(folder) < 80:
            return folder
    return tempfile.mkdtemp(prefix="envo-")


def _remove_stale(folder: str) -> None:
    for name in os.listdir(folder):
        number = name[len("run-") : -len(".socket")]
        if name.startswith("run-") and name.endswith(".socket") and number.isdigit():
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                try:
                    os.unlink(os.path.join(folder, name))
                except FileNotFoundError:
                    pass
            except OSError:
                pass
