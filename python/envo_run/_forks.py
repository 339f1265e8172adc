"""What a process that is forked leaves to the one it comes from.

The interpreter keeps what is registered with it to its very end, and all that the module names which it is from. This one names
next to nothing, so that the end takes no longer for it.
"""

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

#: What is closed in a forked process.
connections: "weakref.WeakSet[Any]" = weakref.WeakSet()


def _leave_to_the_parent() -> None:
    for connection in list(connections):
        connection.close()


os.register_at_fork(after_in_child=_leave_to_the_parent)
