"""Toy plug-ins, installed as a package would be: a module and the metadata of its distribution in one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def install(folder: Path, code: str, points: Mapping[str, str], *, name: str = "toy") -> Path:
    """Write module `name` with `code`, and entry points ``{"group:name": "attribute"}``; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    facts = folder / f"{name}_plugin-1.0.dist-info"
    facts.mkdir(exist_ok=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n", encoding="utf-8")
    groups: dict[str, list[str]] = {}
    for where, attribute in points.items():
        group, _, entry = where.partition("=")
        groups.setdefault(group, []).append(f"{entry} = {name}:{attribute}")
    text = "\n".join(f"[{group}]\n" + "\n".join(lines) for group, lines in groups.items())
    (facts / "entry_points.txt").write_text(text + "\n", encoding="utf-8")
    return folder


def facebench(folder: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line with the package in `folder` installed."""
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "OMP_NUM_THREADS": "1",
        "FACEBENCH_CACHE": str(cwd / "cache"),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "facebench", *words], cwd=cwd, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
