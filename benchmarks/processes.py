"""Runs commands as processes of their own and tells what each took."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Taken:
    """What one program took: processor seconds, seconds and the largest memory in bytes; and what it printed."""

    processor: float
    wall: float
    memory: int
    printed: str


def run(command: list[str]) -> Taken:
    """Run a command in one thread of linear algebra and return what it took."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as printed:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=printed, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        printed.seek(0)
        return Taken(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024, printed.read())
