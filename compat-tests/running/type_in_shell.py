"""Types a line into an interactive shell on a terminal, and prints the line as the shell has completed it.

Usage: type_in_shell.py SHELL TEXT, with tabs in TEXT. The completed line becomes the arguments of `shown`, which prints them.
Input is read in order, so nothing has to be timed.
"""

import os
import pty
import re
import select
import sys

SHELLS = {
    "bash": ["bash", "--noprofile", "--rcfile", "rc.bash", "-i"],
    "zsh": ["zsh", "-i"],
    "fish": ["fish", "-i", "--no-config", "-C", "source rc.fish"],
}
START_OF_LINE = "\x01"

shell, text = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(shell, SHELLS[shell])
os.write(terminal, (text + START_OF_LINE + "shown \r").encode())
output = ""
while not re.search(r"<shown>.*</shown>", output):
    readable, _, _ = select.select([terminal], [], [], 120)
    chunk = os.read(terminal, 65536) if readable else b""
    # A shell that asks its terminal what it is waits for the answer.
    if b"\x1b[c" in chunk or b"\x1b[0c" in chunk:
        os.write(terminal, b"\x1b[?6c")
    output += chunk.decode(errors="replace")
    if not chunk:
        sys.exit(f"the shell said nothing more:\n{output}")
os.write(terminal, b"exit\r")
try:
    while os.read(terminal, 65536):
        pass
except OSError:  # the shell has ended
    pass
os.waitpid(pid, 0)
print(re.search(r"<shown>(.*)</shown>", output)[1])
