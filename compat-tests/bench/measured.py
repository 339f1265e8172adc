"""How long commands take beside one another: what the measures in this folder share."""

import statistics
import subprocess
import sys
import time


def timed(command, folder, variables):
    """The milliseconds that a command takes with these variables only; when it fails, the end with what it printed."""
    start = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    milliseconds = (time.perf_counter() - start) * 1000
    if done.returncode:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout.decode(errors='replace')[-2000:]}")
    return milliseconds


def told(title, times, base):
    """Print the median of each, its spread, and how often that of `base` goes into it."""
    print(f"\n{title}")
    width = max(map(len, times))
    bottom = statistics.median(times[base])
    for name, values in times.items():
        median = statistics.median(values)
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"  {name:<{width}} {median:10.1f} ms  ({spread})  {median / bottom:6.2f} x {base}")
