"""Whatever happens inside a command, it ends with a sentence, an exit code that is documented, and clean output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facebench.cli.streams import VisibleStream, written_out
from facebench.errors import ExitCode

from .acting import call, run_words, start


@pytest.mark.parametrize(
    "act",
    ["sys.exit(0)", "os._exit(0)", "raise SystemExit", "build: sys.exit(0)", "build: os._exit(0)",
     "import posix; posix._exit(0)"],
)  # fmt: skip
def test_a_model_that_ends_the_program_is_an_error_and_named(act: str, tmp_path: Path) -> None:
    code, out, err = call(act, tmp_path)
    assert code == ExitCode.USAGE, err
    assert out == ""
    assert "'acting'" in err
    assert "SystemExit" in err
    assert not (tmp_path / "out" / "result.json").exists()


def test_prints_of_a_model_leave_the_json_alone(tmp_path: Path) -> None:
    act = (
        "print('from Python'); sys.stdout.flush(); os.write(1, b'from the system\\n'); "
        "ctypes.CDLL(None).printf(b'from C\\n'); os.system('echo from a child'); "
        "import atexit; atexit.register(print, 'at the end')"
    )
    code, out, err = call(act, tmp_path)
    assert code == 0, err
    assert set(json.loads(out)) == {"result", "report", "result_id"}
    for origin in ("from Python", "from the system", "from C", "from a child", "at the end"):
        assert origin in err


def test_control_characters_of_any_origin_are_written_out(tmp_path: Path) -> None:
    act = "print('\\x1b[2Jcleared\\x9b', '\\udc80'); raise ValueError('\\x1b]0;title\\x07 \\u202ereversed\\rover')"
    code, _, err = call(act, tmp_path)
    assert code == ExitCode.USAGE
    assert "\\u001b[2Jcleared\\u009b \\udc80" in err
    assert "\\u001b]0;title\\u0007 \\u202ereversed" in err
    assert not [c for c in err if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c == "\u202e"]


def test_what_is_written_out_is_still_json() -> None:
    value = {"name": "a\x9bb\u202ec\U000e0001d\n\u200d"}
    text = written_out(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value
    assert "\u202e" not in text
    assert written_out("Zoë 顔 \t1\n") == "Zoë 顔 \t1\n"


def test_a_stream_of_ascii_takes_every_text(tmp_path: Path) -> None:
    with (tmp_path / "text").open("w", encoding="ascii") as stream:
        VisibleStream(stream).write("顔 1 – 2\n")
    assert (tmp_path / "text").read_text() == "\\u9854 1 \\u2013 2\n"


DEFECT = """
import sys
from facebench.run import protocols
import facebench.cli

def broken(*_):
    raise KeyError("\\x1b[31mnobody expected this")

protocols.load_protocol = broken
facebench.cli.main()
"""


def test_a_defect_has_its_own_exit_code_and_a_file_with_the_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEFECT, *map(str, run_words(tmp_path))],
        capture_output=True, text=True, env={**os.environ, "FACEBENCH_CACHE": str(tmp_path / "cache")},
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == ExitCode.DEFECT == 70
    assert "this is a defect of FaceBench" in done.stderr
    assert "nobody expected this" in done.stderr
    assert "\x1b" not in done.stderr
    assert "Traceback" not in done.stderr
    found = list((tmp_path / "cache" / "defects").iterdir())
    assert len(found) == 1
    assert str(found[0]) in done.stderr
    text = found[0].read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "KeyError" in text
    assert "phantom-smoke" in text  # the command
    assert "facebench " in text


def test_without_room_for_the_file_the_traceback_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from facebench.cli.ending import ending

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "none" / "such"))
    monkeypatch.setattr(Path, "mkdir", refuse)
    try:
        raise RuntimeError("odd")
    except RuntimeError as error:
        said, code = ending(error)
    assert code == ExitCode.DEFECT
    assert "stands above" in said
    assert "RuntimeError: odd" in capsys.readouterr().err


def refuse(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("error", "said"), [(MemoryError(), "not enough memory"), (OSError(28, "full"), "no space")])
def test_memory_and_disk_are_no_defects(error: BaseException, said: str) -> None:
    from facebench.cli.ending import ending

    message, code = ending(error)
    assert said in message
    assert code == ExitCode.INCOMPLETE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_on_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "facebench", "list"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=120
        )
    assert done.returncode == ExitCode.INCOMPLETE
    assert b"no space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m facebench list; echo code $? >&2"
    done = subprocess.run(["bash", "-c", f"({command}) | true"], capture_output=True, check=False, timeout=120)
    assert done.stderr.decode() == "code 0\n"


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGTERM, ExitCode.TERMINATED, "ended by SIGTERM"), (signal.SIGINT, ExitCode.INTERRUPTED, "interrupted")],
)
def test_a_signal_ends_with_a_message_and_keeps_the_work(
    number: signal.Signals, code: ExitCode, said: str, tmp_path: Path
) -> None:
    running = start("open('here', 'w').close(); time.sleep(60)", tmp_path)
    until = time.monotonic() + 120
    while not (tmp_path / "here").exists() and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == code
    assert said in err.decode()
    assert "run the same command again" in err.decode()
    assert "Traceback" not in err.decode()
    assert out == b""
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 2
    done = call("pass", tmp_path)
    assert done[0] == 0, done[2]
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["run"]["embedded_images"] == result["data"]["n_images"] - 16


def test_a_disk_that_is_full_on_the_way_keeps_the_work(tmp_path: Path) -> None:
    act = "def full(handle):\n    raise OSError(28, 'No space left on device')\nos.fsync = full"
    code, out, err = call(act, tmp_path)
    assert code == ExitCode.INCOMPLETE
    assert out == ""
    assert "no space left while writing" in err
    assert "Traceback" not in err
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 2
    assert not list(tmp_path.rglob("*.part"))
    code, _, err = call("pass", tmp_path)
    assert code == 0, err
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["run"]["embedded_images"] == result["data"]["n_images"] - 16


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, where nobody may write")
def test_a_place_nobody_may_write_to_is_refused_before_the_model_is_called(tmp_path: Path) -> None:
    words = ["run", "acting", "phantom-smoke", "--out", "/proc/facebench/out", "--json"]
    code, out, err = call("build: pass", tmp_path, *words)
    assert code == ExitCode.INCOMPLETE
    assert "cannot write" in err
    assert out == ""
