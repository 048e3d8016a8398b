"""Whole runs through the command line, on shipped phantom faces and, where present, on real ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import Shell

REAL = Path(__file__).resolve().parents[1].parent / "shared"
MODEL = REAL / "data" / "weights" / "mobilefacenet-casia.yaml"
FACES = REAL / "data" / "att_faces"
ORACLE = REAL / "oracles" / "real_att.json"
real = pytest.mark.skipif(not MODEL.exists(), reason="the real model and faces are not here")

# a model whose calls are counted in a file, slow enough to be killed between batches
COUNTED = """
import os, time
import numpy as np
from pathlib import Path
import facebench
from facebench import ModelCard
from facebench.schema import InputSpec

class Counted:
    card = ModelCard(name="counted", adapter="test", weights_sha256="0" * 64, embedding_dim=24,
                     input=InputSpec(height=112, width=112))
    def embed(self, faces):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        with open(os.environ["CALLS"], "a") as log:
            log.write("x")
        values = faces[:, ::28, ::28].reshape(len(faces), -1)[:, :24].astype(np.float32) - 100
        if os.environ.get("NAN") == "all":
            values[:] = np.nan
        elif os.environ.get("NAN") == "some":
            values[0] = np.nan
        return values

facebench.register_model("counted", Counted)
import sys
from facebench.cli import main
sys.argv = ["facebench", *sys.argv[1:]]
main()
"""


def facebench(
    *words: object, env: dict[str, str] | None = None, script: str | None = None
) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-c", script] if script else [sys.executable, "-m", "facebench"]
    return subprocess.run(
        [*start, *map(str, words)], capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=600
    )


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"FACEBENCH_CACHE": str(tmp_path / "cache"), "CALLS": str(tmp_path / "calls")}


def make_faces(folder: Path, identities: int = 6, images: int = 3) -> Path:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(3)
    rows = ["image_id,path,identity,group"]
    for person in range(identities):
        base = rng.integers(0, 200, (4, 4, 3))
        for shot in range(images):
            pixels = np.kron(base + rng.integers(0, 40, (4, 4, 3)), np.ones((28, 28, 1))).astype(np.uint8)
            path = folder / "images" / f"{person}_{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            rows.append(f"{person}_{shot},images/{path.name},p{person},{'ab'[person % 2]}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_phantom_smoke_end_to_end(tmp_path: Path, env: dict[str, str]) -> None:
    out = tmp_path / "out"
    done = facebench("run", "phantom-eigenfaces", "phantom-smoke", "--out", out, env=env)
    assert done.returncode == 0, done.stderr
    assert str(out / "report.html") in done.stdout
    assert not any(ord(c) < 32 and c != "\n" for c in done.stdout + done.stderr)
    result = json.loads((out / "result.json").read_text())
    assert result["data"]["phantom"] is True
    metrics = {e["metric"] for e in result["estimates"]}
    assert {"tar", "fmr", "fnmr", "eer", "auc", "rank", "fmr_gap", "garbe", "equal_fmr_test"} <= metrics
    assert "</html>" in (out / "report.html").read_text()

    again = facebench("rescore", out / "result.json", "--json", env=env)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["identical"] is True

    other = tmp_path / "other"
    assert (
        facebench("run", "phantom-eigenfaces", "phantom-smoke", "--out", other, "--workers", 1, env=env).returncode == 0
    )
    second = json.loads((other / "result.json").read_text())
    assert second["estimates"] == result["estimates"]
    assert second["run"]["embedded_images"] == 0  # all embeddings came from the store


def test_a_forged_estimate_and_a_changed_embedding_are_found(tmp_path: Path, env: dict[str, str]) -> None:
    faces = make_faces(tmp_path / "faces")
    out = tmp_path / "out"
    done = facebench(
        "run", "counted", "verification", "--data", f"faces={faces}", "--out", out, env=env, script=COUNTED
    )
    assert done.returncode == 0, done.stderr
    path = out / "result.json"
    text = path.read_text()
    path.write_text(text.replace('"metric": "tar"', '"metric": "fnmr"', 1))
    forged = facebench("rescore", path, env=env)
    assert forged.returncode == 2
    assert "result_id" in forged.stderr
    path.write_text(text)
    with (out / "embeddings.safetensors").open("r+b") as stream:
        stream.seek(-4, os.SEEK_END)
        stream.write(b"\0\0\0\0")
    changed = facebench("rescore", path, env=env)
    assert changed.returncode == 2
    assert "embeddings.safetensors" in changed.stderr


def test_a_killed_run_resumes_and_embeds_nothing_twice(tmp_path: Path, env: dict[str, str]) -> None:
    faces = make_faces(tmp_path / "faces", identities=12, images=4)
    words = ["run", "counted", "verification", "--data", f"faces={faces}", "--batch-size", "4"]
    calls = Path(env["CALLS"])
    calls.touch()
    slow = {**os.environ, **env, "PAUSE": "0.15"}
    for kill_after in (2, 5):
        running = subprocess.Popen(
            [sys.executable, "-c", COUNTED, *words, "--out", str(tmp_path / "out")],
            env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while len(calls.read_text()) < kill_after and time.monotonic() < deadline:
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
        running.wait()
    done = facebench(*words, "--out", tmp_path / "out", env=env, script=COUNTED)
    assert done.returncode == 0, done.stderr
    n_batches = 12
    assert n_batches <= len(calls.read_text()) <= n_batches + 2  # at most the batch in flight at each kill
    whole = facebench(
        *words, "--out", tmp_path / "whole", env={**env, "FACEBENCH_CACHE": str(tmp_path / "fresh")}, script=COUNTED
    )
    assert whole.returncode == 0, whole.stderr
    resumed, fresh = (json.loads((tmp_path / n / "result.json").read_text()) for n in ("out", "whole"))
    assert resumed["estimates"] == fresh["estimates"]
    assert resumed["result_id"] == fresh["result_id"]


def test_unreadable_images_are_recorded_and_counted(tmp_path: Path, env: dict[str, str]) -> None:
    faces = make_faces(tmp_path / "faces")
    (faces / "images" / "0_0.png").write_bytes(b"")
    whole = (faces / "images" / "1_1.png").read_bytes()
    (faces / "images" / "1_1.png").write_bytes(whole[: len(whole) // 2])
    (faces / "images" / "2_2.png").unlink()
    done = facebench(
        "run", "counted", "verification", "--data", f"faces={faces}", "--out", tmp_path / "out", env=env, script=COUNTED
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [(f["image_id"], f["stage"]) for f in result["failures"]] == [
        ("0_0", "read"),
        ("1_1", "decode"),
        ("2_2", "read"),
    ]
    kinds = {e["failures"]: e for e in result["estimates"] if e["metric"] == "tar" and e["fmr_target"] == 0.1}
    assert kinds["counted"]["n_genuine"] == 18
    assert kinds["excluded"]["n_genuine"] == 12
    assert kinds["counted"]["errors"] == kinds["excluded"]["errors"] + 6 or kinds["counted"]["errors"] >= 6


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("nan", 2, "NaN"),
        ("protocol", 2, "Did you mean 'fmr_targets'?"),
        ("model", 2, "Did you mean 'phantom-eigenfaces'?"),
        ("duplicate", 2, "0_0"),
        ("identity", 2, "identity"),
        ("unbound", 2, "--data faces=PATH"),
        ("option", 2, "--bananas"),
        ("full", 3, "no space left"),
    ],
)
def test_bad_input_gives_one_clear_sentence(
    name: str, code: int, said: str, tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    faces = make_faces(tmp_path / "faces")
    words: list[object] = [
        "run", "phantom-eigenfaces", "verification", "--data", f"faces={faces}", "--out", tmp_path / "out",
    ]  # fmt: skip
    manifest = faces / "manifest.csv"
    script = None
    if name == "nan":
        words[1], script, env["NAN"] = "counted", COUNTED, "all"
    elif name == "protocol":
        (tmp_path / "p.yaml").write_text("name: p\ntitle: p\nfmr_target: [0.1]\n", encoding="utf-8")
        words[2] = tmp_path / "p.yaml"
    elif name == "model":
        words[1] = "phantom-eigenface"
    elif name == "duplicate":
        manifest.write_text(manifest.read_text() + "0_0,images/0_0.png,p0,a\n", encoding="utf-8")
    elif name == "identity":
        manifest.write_text(manifest.read_text().replace(",p3,", ",,"), encoding="utf-8")
    elif name == "unbound":
        words[3:5] = []
    elif name == "option":
        words.append("--bananas")
    elif name == "full":
        script = (
            "import os, errno\n"
            "def full(*_a, **_k): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
            "os.fsync = full\n" + COUNTED
        )
        words[1] = "counted"
    if script is None:
        shell = Shell(tmp_path, monkeypatch, capsys)
        found, out, err = shell(*words), shell.out, shell.err
    else:
        done = facebench(*words, env=env, script=script)
        found, out, err = done.returncode, done.stdout, done.stderr
    assert found == code, err + out
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "result.json").exists()


def test_some_nan_embeddings_are_recorded_failures(tmp_path: Path, env: dict[str, str]) -> None:
    faces = make_faces(tmp_path / "faces")
    env["NAN"] = "some"
    done = facebench(
        "run", "counted", "verification", "--data", f"faces={faces}", "--out", tmp_path / "out", env=env, script=COUNTED
    )
    assert done.returncode == 0, done.stderr
    failures = json.loads((tmp_path / "out" / "result.json").read_text())["failures"]
    assert [(f["image_id"], f["stage"]) for f in failures] == [("0_0", "embed")]


@real
@pytest.mark.slow
@pytest.mark.parametrize("flip", ["none", "concat"])
def test_real_faces_give_the_published_numbers(flip: str, tmp_path: Path, env: dict[str, str]) -> None:
    wanted = json.loads(ORACLE.read_text())
    model = tmp_path / "model.yaml"
    text = MODEL.read_text().replace("flip: none", f"flip: {flip}")
    model.write_text(text.replace("weights: ", f"weights: {MODEL.parent}/"), encoding="utf-8")
    done = facebench("run", model, "verification", "--data", f"faces={FACES}", "--out", tmp_path / "out", env=env)
    assert done.returncode == 0, done.stderr
    estimates = json.loads((tmp_path / "out" / "result.json").read_text())["estimates"]
    found = {(e["metric"], e["fmr_target"], e["k"]): e for e in estimates if e["group"] == "all"}
    tar = found["tar", 0.1, None]
    assert (tar["n_genuine"], tar["n_impostor"]) == (wanted["n_genuine"], wanted["n_impostor"])
    if flip == "none":
        for target, numbers in wanted["no_flip"].items():
            e = found["tar", float(target), None]
            assert abs((e["n_genuine"] - e["errors"]) - numbers["true_accepts"]) <= 1
            next_below = wanted["next_impostor_score_below_threshold"][target]
            assert e["threshold"] == pytest.approx(next_below, abs=2e-5)
        assert found["rank", None, 1]["value"] == pytest.approx(wanted["rank1_gallery_image_1"], abs=1e-4)
    else:
        for target, value in wanted["flip"]["tar"].items():
            assert found["tar", float(target), None]["value"] == pytest.approx(value, abs=1 / 1800 + 5e-5)
    key = "no_flip" if flip == "none" else "flip"
    assert found["eer", None, None]["value"] == pytest.approx(wanted["eer"][key], abs=1e-4)
    assert found["auc", None, None]["value"] == pytest.approx(wanted["auc"][key], abs=1e-5)


@real
@pytest.mark.slow
def test_wrong_normalisation_gives_the_published_wrong_numbers(tmp_path: Path, env: dict[str, str]) -> None:
    wanted = json.loads(ORACLE.read_text())["what_goes_wrong"]["inputs_in_0_1_instead"]
    model = tmp_path / "model.yaml"
    text = MODEL.read_text().replace("mean: 127.5, std: 128.0", "mean: 0, std: 255")
    model.write_text(text.replace("weights: ", f"weights: {MODEL.parent}/"), encoding="utf-8")
    done = facebench("run", model, "verification", "--data", f"faces={FACES}", "--out", tmp_path / "out", env=env)
    assert done.returncode == 0, done.stderr
    estimates = json.loads((tmp_path / "out" / "result.json").read_text())["estimates"]
    found = {(e["metric"], e["fmr_target"]): e for e in estimates if e["group"] == "all"}
    assert found["tar", 0.001]["value"] == pytest.approx(wanted["tar@1e-3"], abs=1 / 1800 + 5e-5)
    assert found["eer", None]["value"] == pytest.approx(wanted["eer"], abs=1e-3)
