"""Worker processes: results in order, a clear end when one is killed, none left when the parent is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facebench.errors import IncompleteError, InputError
from facebench.phantoms.pool import spread


def _nothing() -> None: ...


def _late_square(number: int) -> int:
    time.sleep(0.05 if number == 0 else 0.0)
    return number * number


def _die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _refuse(number: int) -> int:
    raise InputError(f"task {number} is refused")


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_results_come_in_order(workers: int) -> None:
    assert list(spread(_late_square, [(k,) for k in range(6)], workers, _nothing)) == [0, 1, 4, 9, 16, 25]


def test_a_killed_process_is_reported_with_the_way_on() -> None:
    with pytest.raises(IncompleteError, match=r"was killed .* run the same command again"):
        list(spread(_die, [(k,) for k in range(6)], 2, _nothing))


def test_errors_of_a_task_arrive_as_they_are() -> None:
    with pytest.raises(InputError, match="task 0 is refused"):
        list(spread(_refuse, [(0,), (1,)], 2, _nothing))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_its_parent(tmp_path: Path, sent: signal.Signals) -> None:
    """A stopped `data render` leaves no worker behind, and after Ctrl-C no traceback."""
    out = tmp_path / "faces"
    command = ["data", "render", str(out), "--identities", "400", "--images", "10", "--workers", "2"]
    # a shell in the background may have taken Ctrl-C from its children
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    with subprocess.Popen(
        [sys.executable, "-c", restore + "from facebench.cli import main; main()", *command],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as parent:
        _wait_for(lambda: any(out.glob("images/*/*.png")), 120)
        children = _children(parent.pid)
        assert len(children) == 2
        parent.send_signal(sent)
        _wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 60)
        errors = parent.stderr.read() if parent.stderr is not None else ""
    assert "Traceback" not in errors
    if sent is signal.SIGINT:
        assert parent.returncode == 130


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _wait_for(condition, seconds: float) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
