"""Starting the worker so that it can be ended with everything that it started, and ending it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from LiverLesionAI.processes import library_environment

KILL_WAIT_S = 5.0


def start_process(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a process in a session of its own (on Windows: a process group), its streams as UTF-8 pipes.

    It finds this library whatever the current folder.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    return subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=library_environment(),
        start_new_session=sys.platform != "win32",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def end_process_tree(process: subprocess.Popen[str]) -> None:
    """End a process of :func:`start_process` and everything that it started, and leave no zombie."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILL_WAIT_S)
