"""What a model costs: counts against networks of known size, times against a clock that is told, and whole runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facebench import check_gate, compare, load_result
from facebench.errors import InputError
from facebench.models import load_model
from facebench.models.network import limited_threads, network_size, onnx_multiply_adds
from facebench.models.onnx_file import count_parameters
from facebench.schema import Machine, Outcome, Policy, Result
from facebench.schema.timed import timed_estimates, why_times_differ
from facebench.sections.efficiency.measure import fruits_class
from facebench.sections.efficiency.timing import summarise, time_calls
from tests.models.onnx_writer import small_network

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "weights"
real = pytest.mark.skipif(not REAL.exists(), reason="the real weights are not here")
FACE = np.full((1, 112, 112, 3), 127, np.uint8)
INPUT = "input: {height: 112, width: 112, mean: 127.5, std: 127.5, flip: FLIP}\n"


def write_model(folder: Path, flip: str = "none") -> tuple[Path, int, int]:
    content, parameters, multiply_adds = small_network(np.random.default_rng(0))
    (folder / "small.onnx").write_bytes(content)
    path = folder / f"small-{flip}.yaml"
    path.write_text(f"name: small\nadapter: onnx\nweights: small.onnx\n{INPUT.replace('FLIP', flip)}")
    return path, parameters, multiply_adds


@pytest.mark.parametrize(("flip", "times"), [("none", 1), ("concat", 2)])
def test_a_network_of_known_size(tmp_path, flip, times):
    """The mirrored face is a second pass, and counts; shapes (int64) are no parameters."""
    path, parameters, multiply_adds = write_model(tmp_path, flip)
    found = network_size(load_model(path), FACE)
    assert found.parameters == parameters
    assert found.multiply_adds == times * multiply_adds
    assert found.size_bytes == (tmp_path / "small.onnx").stat().st_size
    assert set(found.not_counted) == {"GlobalAveragePool", "Reshape"}


@real
def test_onnx_and_torch_count_the_same(tmp_path):
    import shutil

    shutil.copy(ROOT / "tests" / "models" / "mobilefacenet.py", tmp_path / "sized_net.py")
    spec = "input: {height: 112, width: 96, crop: [0, 8, 112, 104], mean: 127.5, std: 128.0, flip: none}\n"
    path = tmp_path / "torch.yaml"
    weights = REAL / "mobilefacenet_casia.state_dict.pt"
    path.write_text(
        f"name: m\nadapter: torch\nfactory: sized_net:build\nweights: {weights}\n{spec}state_dict_key: net_state_dict\n"
    )
    torch = network_size(load_model(path, trust_code=True), FACE)
    onnx = network_size(load_model(REAL / "mobilefacenet-casia.yaml"), FACE)
    assert torch.parameters == 999_552  # as published with the weights
    assert torch.multiply_adds == onnx.multiply_adds
    assert torch.multiply_adds == pytest.approx(189.4e6, rel=0.001)
    # the ONNX file has its batch normalisation folded into the convolutions
    assert 0.98 < onnx.parameters / torch.parameters < 1


def test_multiply_adds_by_hand():
    assert onnx_multiply_adds("Gemm", [[2, 5], [5, 7]], [[2, 7]]) == 70
    assert onnx_multiply_adds("MatMul", [[3, 2, 5], [5, 7]], [[3, 2, 7]]) == 210
    assert onnx_multiply_adds("ConvTranspose", [[1, 4, 5, 5], [4, 6, 2, 2]], [[1, 6, 10, 10]]) == 4 * 25 * 24
    quantised = [[1, 3, 8, 8], [], [], [4, 3, 3, 3]]
    assert onnx_multiply_adds("QLinearConv", quantised, [[1, 4, 6, 6]]) == 4 * 36 * 27
    assert onnx_multiply_adds("Relu", [[1, 4]], [[1, 4]]) is None


@pytest.mark.parametrize("content", [b"", b"not an onnx file at all", bytes(range(256))])
def test_other_files_are_no_onnx_files(tmp_path, content):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    if content:
        with pytest.raises(InputError, match="not an ONNX file"):
            count_parameters(path)
    else:
        assert count_parameters(path) == 0


def test_threads_can_be_held(tmp_path):
    path, *_ = write_model(tmp_path)
    model = load_model(path)
    with limited_threads(model, 1) as (one, held):
        assert held
        np.testing.assert_allclose(one.embed(FACE), model.embed(FACE), atol=1e-5)
    with limited_threads(load_model("phantom-eigenfaces"), 1) as (_, held):
        assert not held


def test_calls_take_turns_and_warm_up_is_not_timed():
    now, calls = [0.0], []

    def take(key, seconds):
        calls.append(key)
        now[0] += seconds

    times = time_calls(
        {1: lambda: take(1, 0.001), 8: lambda: take(8, 0.004)}, warmup=2, repeats=3, clock=lambda: now[0]
    )
    assert calls == [1, 1, 8, 8, 1, 8, 1, 8, 1, 8]
    np.testing.assert_allclose(times[1], [1, 1, 1])
    np.testing.assert_allclose(times[8], [4, 4, 4])


def test_statistics_of_known_times():
    found = summarise(8, np.arange(1.0, 101.0))
    assert (found.median_ms, found.images_per_s) == (50.5, pytest.approx(1000 * 8 / 50.5, abs=1e-3))
    assert found.p95_ms == pytest.approx(95.05)
    assert (found.ci_low_ms, found.ci_high_ms) == (40.0, 61.0)  # the classical ranks 40 and 61 of 100
    assert found.drift == pytest.approx(75.5 / 25.5 - 1, abs=1e-6)
    assert summarise(1, np.full(10, 3.0)).noise == 0


def test_the_interval_of_the_median_covers_it():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        found = summarise(1, rng.lognormal(0, 0.5, 30))
        covered += found.ci_low_ms <= 1 <= found.ci_high_ms
    assert covered / 1000 > 0.94


@pytest.mark.parametrize(
    ("median", "threads", "expected"),
    [(20, 1, "FRUITS-100"), (90, 1, "FRUITS-500"), (600, 1, "FRUITS-1000"), (5000, 1, "slower than FRUITS-1000"),
     (20, 2, None)],
)  # fmt: skip
def test_fruits_classes_need_the_whole_interval_below_the_limit(median, threads, expected):
    """90 ms with calls from 60 to 120 ms: the interval of the median reaches beyond 100."""
    times = np.linspace(median * 2 / 3, median * 4 / 3, 12)
    assert fruits_class([summarise(1, times)], threads) == expected
    assert fruits_class([summarise(8, times)], 1) is None


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    top = tmp_path_factory.mktemp("efficiency")
    model, *_ = write_model(top)
    protocol = top / "p.yaml"
    protocol.write_text(
        "name: p\ntitle: P\ndataset: {path: 'builtin:phantom-smoke-v1'}\nfmr_targets: [0.1]\nprimary_fmr_target: 0.1\n"
        "groups: null\nuncertainty: {replicates: 100}\nefficiency: {batch_sizes: [1, 4], repeats: 10, warmup: 1}\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "FACEBENCH_CACHE": str(top / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "facebench", "run", str(model), str(protocol), "--out", str(top / "out")],
        capture_output=True, text=True, env=env, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return top / "out"


@pytest.mark.slow
def test_a_run_measures_and_rescoring_copies(run_folder):
    from facebench import rescore

    stored, fresh = rescore(run_folder / "result.json")
    assert fresh == stored
    details = stored.efficiency
    assert [t.batch_size for t in details.timings] == [1, 4]
    assert details.threads_set
    assert details.memory.peak_mib >= details.memory.loaded_mib >= details.memory.before_mib > 10
    assert details.machine_fingerprint == details.machine.fingerprint
    assert {e.metric for e in stored.estimates} >= {"parameters", "size_bytes", "multiply_adds"}
    # times are no estimates: those are the same to the last bit in every run
    assert not {"latency_ms", "throughput"} & {e.metric for e in stored.estimates}
    page = (run_folder / "report.html").read_text()
    assert 'id="efficiency"' in page
    assert details.machine_fingerprint in page
    forged = json.loads((run_folder / "result.json").read_text())
    forged["efficiency"]["timings"][0]["median_ms"] /= 2
    (run_folder / "forged.json").write_text(json.dumps(forged))
    with pytest.raises(InputError, match="does not match its result_id"):
        load_result(run_folder / "forged.json")


def altered(folder: Path, name: str, target: Path, **changes) -> Path:
    """Copy a run under another name with other efficiency details."""
    import shutil

    shutil.copytree(folder, target)
    result = load_result(folder)
    details = result.efficiency.model_copy(update=changes)
    model = result.model.model_copy(update={"name": name})
    changed: Result = result.model_copy(update={"efficiency": details, "model": model}).with_id()
    (target / "result.json").write_text(changed.model_dump_json(indent=1))
    return target


@pytest.mark.slow
def test_times_are_compared_and_gated_on_one_machine_only(run_folder, tmp_path):
    details = load_result(run_folder).efficiency
    slower = tuple(
        t.model_copy(update={k: getattr(t, k) * 3 for k in ("median_ms", "p95_ms", "ci_low_ms", "ci_high_ms")})
        for t in details.timings
    )
    slow = altered(run_folder, "slow", tmp_path / "slow", timings=slower)
    other = details.machine.model_copy(update={"cpu": "another"})
    away = altered(run_folder, "away", tmp_path / "away", machine=other, machine_fingerprint=other.fingerprint)
    rule = {"metric": "latency_ms", "condition": "batch:*", "margin_relative": 0.5}
    policy = Policy.parse({"rules": [rule, {"metric": "parameters", "margin": 0}]}, where="test")

    found = compare(run_folder, slow)
    latency = next(d for d in found.differences if (d.metric, d.condition) == ("latency_ms", "batch:1"))
    assert latency.difference == pytest.approx(2 * latency.base_value)
    verdict = check_gate(found, load_result(slow), policy)
    assert verdict.outcome is Outcome.REGRESSION
    assert [f.outcome for f in verdict.findings if f.metric == "parameters"] == [Outcome.PASS]
    assert {f.condition for f in verdict.findings if f.metric == "latency_ms"} == {"batch:1", "batch:4"}

    apart = compare(run_folder, away)
    assert not [d for d in apart.differences if d.metric == "latency_ms"]
    assert any("the machines differ" in u.why for u in apart.not_compared)
    assert check_gate(apart, load_result(away), policy).outcome is Outcome.MISSING
    assert "fingerprints" in why_times_differ(load_result(run_folder), load_result(away))
    bound = Policy.parse({"rules": [{**rule, "max": 1e6} | {"margin_relative": None}]}, where="test")
    assert check_gate(apart, load_result(away), bound).passed
    assert len(timed_estimates(load_result(away))) == 7


def test_a_fingerprint_names_machine_and_software():
    machine = Machine(cpu="c", logical_cpus=2, memory_gib=4, system="s", device="cpu", packages={"numpy": "2"})
    assert machine.fingerprint == machine.model_copy().fingerprint
    assert machine.fingerprint != machine.model_copy(update={"packages": {"numpy": "3"}}).fingerprint
    assert machine.fingerprint != machine.model_copy(update={"logical_cpus": 4}).fingerprint
