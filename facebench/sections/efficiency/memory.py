"""Run in a process of its own: load a model, embed one batch, print resident memory in MiB as JSON."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np

from facebench.models import load_model


def peak_mib() -> float:
    """Return the highest resident memory so far; macOS counts bytes, Linux KiB."""
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (2**20 if sys.platform == "darwin" else 2**10)


def now_mib() -> float:
    """Return the resident memory now, where the system tells; else the highest so far."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return peak_mib()
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20


def main(words: list[str]) -> None:
    """Print what ``reference height width batch_size device [--trust-code]`` needs."""
    reference, height, width, batch_size, device = words[:5]
    before = now_mib()
    model = load_model(reference, device=device, trust_code="--trust-code" in words)
    loaded = now_mib()
    model.embed(np.full((int(batch_size), int(height), int(width), 3), 127, np.uint8))  # type: ignore[union-attr]
    found = {"before_mib": before, "loaded_mib": loaded, "peak_mib": max(peak_mib(), loaded)}
    print(json.dumps({key: round(value, 2) for key, value in found.items()}))  # noqa: T201 - read by the caller


if __name__ == "__main__":
    main(sys.argv[1:])
