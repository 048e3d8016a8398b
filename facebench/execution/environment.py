"""What a result records of the machine and the software it was made with."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from facebench.execution.options import RunOptions
from facebench.schema import Reembedded, RunInfo

_RECORDED = ("numpy", "scipy", "numba", "torch", "onnxruntime", "scikit-learn", "pillow", "safetensors", "pandas")


def packages() -> dict[str, str]:
    """Return the versions of the packages numbers depend on; imports none of them."""
    found = {}
    for name in _RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def facebench_version() -> str:
    """Return the installed version of FaceBench."""
    try:
        return version("facebench")
    except PackageNotFoundError:
        return "uninstalled"


def git_state() -> tuple[str | None, bool | None]:
    """Return the commit FaceBench itself runs from and whether it was changed since; None for an installed wheel."""
    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return None, None
    try:
        sha = _git(top, "rev-parse", "HEAD").strip()
        return sha or None, bool(_git(top, "status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(top: Path, *arguments: str) -> str:
    command = ["git", "-C", str(top), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def describe_platform() -> str:
    """Return operating system and processor architecture."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def python_version() -> str:
    """Return the version of the interpreter."""
    return ".".join(str(part) for part in sys.version_info[:3])


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def run_info(
    options: RunOptions,
    *,
    started: str,
    wall_s: float,
    embedded_images: int,
    reembedded: Reembedded | None = None,
) -> RunInfo:
    """Return how, when and with what a run was made."""
    sha, dirty = git_state()
    return RunInfo(
        facebench=facebench_version(), seed=options.seed, device=options.device, batch_size=options.batch_size,
        limit=options.limit, compat=options.compat, packages=packages(), python=python_version(),
        platform=describe_platform(), git_sha=sha, git_dirty=dirty, command=shlex.join(["facebench", *sys.argv[1:]]),
        started=started, wall_s=round(wall_s, 3), trust_code=options.trust_code, embedded_images=embedded_images,
        reembedded=reembedded,
    )  # fmt: skip
