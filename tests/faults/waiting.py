"""What a busy machine adds to a time: how long processes stood ready and had no core."""

from pathlib import Path

from tests.faults.harness import NANOS


def waited_secs(process_id: int) -> float:
    """Return how long the main thread of a process has waited for a core since it began, seconds.

    By the kernel's own account (`run_delay` of Documentation/scheduler/sched-stats.rst, second figure of
    ``/proc/PID/schedstat``), so that a time is judged less exactly this and not by a guess about the load.
    Where the kernel keeps no account it is 0.0, which makes a bound tighter.
    """
    try:
        words = Path(f"/proc/{process_id}/schedstat").read_text().split()
    except OSError:
        return 0.0
    return int(words[1]) / NANOS
