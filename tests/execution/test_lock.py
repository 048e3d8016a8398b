"""Two runs on one folder: the second is told at once; what a dead one left is told and gone on with."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facebench.errors import ExitCode, IncompleteError, WriteError
from facebench.execution.lock import NAME, only_run_in, refuse_second_run
from tests.cli.acting import call, start


def test_a_folder_is_held_by_one_and_free_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    refuse_second_run(folder)
    with only_run_in(folder):
        for ask in (lambda: refuse_second_run(folder), only_run_in(folder).__enter__):
            with pytest.raises(IncompleteError, match="a run is in progress here") as told:
                ask()
            assert f"process {os.getpid()} on {socket.gethostname()}" in str(told.value)
    assert list(folder.iterdir()) == []
    with pytest.raises(ValueError, match="inside"), only_run_in(folder):
        raise ValueError("inside")
    assert list(folder.iterdir()) == []


def test_two_runs_and_a_dead_one(tmp_path: Path) -> None:
    running = start("open('here', 'w').close(); time.sleep(100)", tmp_path)
    until = time.monotonic() + 120
    while not (tmp_path / "here").exists() and time.monotonic() < until:
        time.sleep(0.02)
    code, out, err = call("raise ValueError('the second run called the model')", tmp_path)
    assert code == ExitCode.INCOMPLETE, err
    assert out == ""
    assert f"a run is in progress here: {tmp_path / 'out'} is in use by process {running.pid} on" in err
    running.send_signal(signal.SIGKILL)
    running.communicate()
    code, out, err = call("pass", tmp_path)
    assert code == ExitCode.PASS, err
    assert f"process {running.pid} on {socket.gethostname()}" in err
    assert "ended before it was finished" in err
    assert json.loads(out)["result_id"]
    assert not (tmp_path / "out" / NAME).exists()
    assert "ended before" not in call("pass", tmp_path)[2]


def test_what_a_dead_run_was_just_writing_is_removed(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps({"pid": 2**22 + 5, "host": "here", "begun": "2026"}))
    left = [tmp_path / ".result.json.x.part", tmp_path / ".work" / "embeddings" / "a" / ".b.part"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    (tmp_path / "own.part").write_text("a user's")
    with only_run_in(tmp_path):
        assert not [path for path in left if path.exists()]
    assert (tmp_path / "own.part").exists()


TAKE = """
import sys, time
from pathlib import Path
from facebench.execution.lock import only_run_in
from facebench.errors import IncompleteError
folder, log = map(Path, sys.argv[1:])
until, done = time.monotonic() + 4, 0
while time.monotonic() < until and done < 40:
    try:
        with only_run_in(folder):
            (folder / "inside").mkdir()  # raises when somebody else is inside
            (folder / "inside").rmdir()
            done += 1
    except IncompleteError:
        pass
print(done)
"""


def test_many_processes_take_turns(tmp_path: Path) -> None:
    """The file is made and removed all the time; never are two inside."""
    command = [sys.executable, "-c", TAKE, str(tmp_path / "out"), str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for running in runs:
        out, err = running.communicate(timeout=60)
        assert err == b""
        assert int(out) > 0


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize(
    ("pid", "host", "free"),
    [(os.getppid(), socket.gethostname(), False), (2**22 + 5, socket.gethostname(), True), (1, "elsewhere", False),
     ("odd", socket.gethostname(), True)],
)  # fmt: skip
def test_a_file_system_without_locks(
    pid: object, host: str, free: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", no_locks)
    (tmp_path / NAME).write_text(json.dumps({"pid": pid, "host": host, "begun": "2026-01-01T00:00:00+00:00"}))
    if free:
        with only_run_in(tmp_path):
            assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    else:
        with pytest.raises(IncompleteError, match=f"on {host}, begun 2026"):
            refuse_second_run(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b"{", b"0" * 5000])
def test_an_odd_file_is_taken_over(content: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    with only_run_in(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(WriteError, match="cannot write"), only_run_in(tmp_path):
        pass


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(WriteError, match="cannot write"), only_run_in(tmp_path / "out"):
        pass


def test_a_full_disk_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(WriteError, match="no space left"), only_run_in(tmp_path):
        pass
