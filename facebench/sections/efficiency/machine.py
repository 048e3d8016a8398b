"""Describes the machine times are taken on, and measures the memory of a model in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from facebench.errors import FaceBenchError
from facebench.execution import environment
from facebench.schema.efficiency import Machine, Memory

_RUNTIMES = ("numpy", "onnxruntime", "torch")
MIB = 2**20


def describe(device: str) -> Machine:
    """Return the processor, memory, system and the versions of what runs networks."""
    versions = environment.packages()
    return Machine(
        cpu=_cpu(), logical_cpus=os.cpu_count() or 1, memory_gib=_memory_gib(),
        system=f"{platform.system()} {platform.machine()}", device=device, accelerator=_accelerator(device),
        packages={name: versions[name] for name in _RUNTIMES if name in versions},
    )  # fmt: skip


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return 0.0


def _accelerator(device: str) -> str | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return str(torch.cuda.get_device_name(device)) if torch.cuda.is_available() else None


def measure_memory(reference: str, shape: tuple[int, int], batch_size: int, device: str, *, trust_code: bool) -> Memory:
    """Load a model in a fresh process, embed one batch, and return the resident memory on the way.

    Raises:
        FaceBenchError: the process failed; its last line says why.
    """
    command = [
        sys.executable,
        "-m",
        "facebench.sections.efficiency.memory",
        reference,
        *map(str, shape),
        str(batch_size),
        device,
    ]
    done = subprocess.run(
        [*command, *(["--trust-code"] if trust_code else [])], capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise FaceBenchError(f"memory could not be measured: {lines[-1] if lines else 'the process was killed'}")
    return Memory.model_validate({"batch_size": batch_size, **json.loads(done.stdout.splitlines()[-1])})
