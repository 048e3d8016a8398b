"""Tasks run on threads, on Dask and on Ray; a killed worker loses nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.errors import IncompleteError, InputError
from facebench.execution import check_executor, run_tiles

dask = pytest.mark.skipif(find_spec("distributed") is None, reason="the extra dask is not installed")
ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")


def square(shared: int, task: int) -> tuple[int, int]:
    time.sleep(0.02)
    return os.getpid(), shared + task * task


def fail(_shared: int, task: int) -> int:
    raise InputError(f"task {task} cannot be done")


def test_threads_do_every_task_once() -> None:
    found = dict(run_tiles(square, 5, range(20), workers=3))
    assert {number: value for number, (_, value) in found.items()} == {i: 5 + i * i for i in range(20)}


def test_an_error_in_a_task_is_the_readers() -> None:
    with pytest.raises(InputError, match="cannot be done"):
        list(run_tiles(fail, 0, range(5), workers=2))


@pytest.mark.parametrize(
    ("executor", "said"),
    [
        ("bananas", "Known: "),
        ("dask", "dask:tcp://"),
        ("ray:", "ray:auto"),
        ("dsk:local", "Did you mean 'dask:local'"),
    ],
)
def test_a_wrong_executor_is_named_before_the_work(executor: str, said: str) -> None:
    with pytest.raises(InputError, match="executor") as caught:
        check_executor(executor)
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_missing_extra_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facebench.execution.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=rf"needs the extra .*\.\[{kind}\]"):
        check_executor(f"{kind}:local")


@dask
def test_a_dask_address_nobody_answers_at_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facebench.execution.dask_cluster.CONNECT_S", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        list(run_tiles(square, 0, range(2), "dask:tcp://127.0.0.1:9"))
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        list(run_tiles(square, 0, range(2), "dask:nonsense://x"))


@ray
@pytest.mark.slow
def test_a_ray_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="no Ray cluster answers"):
        list(run_tiles(square, 0, range(2), "ray:auto"))


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[str]:
    """A scheduler with two worker processes, as somebody else would have started them."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield f"dask:{cluster.scheduler_address}"


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    """Two worker processes of a Ray cluster on this machine."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        tests = Path(__file__).resolve().parents[1]  # where the workers find the tasks of this file
        patch.setenv("PYTHONPATH", os.pathsep.join([str(tests), str(tests.parent)]))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield "ray:auto"
        ray.shutdown()


CLUSTERS = [pytest.param("dask_cluster", marks=dask), pytest.param("ray_cluster", marks=ray)]


@pytest.mark.slow
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_killed_worker_loses_nothing(cluster: str, request: pytest.FixtureRequest) -> None:
    pids: set[int] = set()
    answers: dict[int, int] = {}
    for number, (pid, value) in run_tiles(square, 5, range(100), request.getfixturevalue(cluster), workers=2):
        pids.add(pid)
        answers[number] = value
        if len(answers) == 10:
            os.kill(pid, signal.SIGKILL)
    assert answers == {i: 5 + i * i for i in range(100)}
    assert os.getpid() not in pids
    assert len(pids) >= 2


@dask
def test_a_result_lost_before_it_is_fetched_is_made_again(dask_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Future
    from distributed.client import FutureCancelledError

    fetch, calls = Future.result, []

    def lost_at_times(self: Future) -> object:
        calls.append(self.key)
        if len(calls) in (3, 7):  # its worker, and with it the shared data, died after the task was done
            raise FutureCancelledError(self.key, "already forgotten")
        return fetch(self)

    monkeypatch.setattr(Future, "result", lost_at_times)
    answers = {number: value for number, (_, value) in run_tiles(square, 5, range(20), dask_cluster, workers=2)}
    assert answers == {i: 5 + i * i for i in range(20)}
    assert len(calls) == 22


@dask
def test_a_scheduler_that_is_gone_is_told() -> None:
    from facebench.execution.dask_cluster import _scattered

    class Gone:
        status = "closed"

        def scatter(self, *_: object, **__: object) -> None:
            raise OSError("Timed out trying to connect to tcp://127.0.0.1:1 after 20 s")

    with pytest.raises(IncompleteError, match=r"scheduler is gone .*run again to go on"):
        _scattered(Gone(), None)


def test_data_that_met_a_dying_dask_worker_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from facebench.execution import dask_cluster

    class Dying:
        status = "running"
        sent = 0

        def scatter(self, shared: str, **_: object) -> str:
            self.sent += 1
            if self.sent < dask_cluster.ATTEMPTS:
                raise ConnectionResetError("a worker went away")
            return shared

    monkeypatch.setattr(dask_cluster, "PAUSE_S", 0)
    assert dask_cluster._scattered(Dying(), "shared") == "shared"


def whereabouts(_shared: None, _task: int) -> int:
    time.sleep(0.05)
    return os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_measurement_that_loses_a_worker_is_the_same(cluster: str, request: pytest.FixtureRequest) -> None:
    from facebench.execution.compute import Compute
    from facebench.measure.choose_engine import measure_any
    from facebench.measure.sample import Images
    from facebench.schema import ProtocolSpec

    executor = request.getfixturevalue(cluster)
    rng = np.random.default_rng(2)
    identity = rng.integers(0, 300, 3000)
    vectors = (rng.standard_normal((300, 64))[identity] + rng.standard_normal((3000, 64))).astype(np.float32)
    images = Images(
        tuple(map(str, range(3000))), tuple(f"p{i}" for i in identity), {"group": tuple(f"g{i % 3}" for i in identity)}
    )
    spec = ProtocolSpec(name="x", title="x", fmr_targets=(0.1, 1e-3), primary_fmr_target=1e-3)
    killed: list[int] = []

    def kill_one(stage: str, done: int, _total: int) -> None:
        if stage == "count" and done and not killed:
            killed.append(pids.pop())
            os.kill(killed[0], signal.SIGKILL)

    def measured(compute: Compute) -> str:
        found = measure_any(spec, images, vectors, None, comparator="cosine", seed=0, compute=compute)
        return "\n".join(each.model_dump_json() for each in (*found.estimates, *found.curves))

    pids = {pid for _, pid in run_tiles(whereabouts, None, range(10), executor)}
    here = measured(Compute(dense_limit=10, workers=2))
    there = measured(Compute(executor=executor, dense_limit=10, progress=kill_one))
    assert killed
    assert there == here


@pytest.mark.slow
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_run_that_loses_a_worker_has_the_id_of_a_local_run(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from dataclasses import replace

    from facebench.execution.options import RunOptions, no_progress
    from facebench.run import evaluate as module
    from facebench.run.protocols import Protocol
    from facebench.schema import ProtocolSpec
    from tests.run.test_plan import Grid, write_faces

    executor = request.getfixturevalue(cluster)
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    plain = module._compute
    monkeypatch.setattr(module, "_compute", lambda options: replace(plain(options), dense_limit=10))  # as if large
    faces = write_faces(tmp_path / "faces", {"a": 60, "b": 60}, images=5)
    spec = ProtocolSpec(name="x", title="x", fmr_targets=(0.1, 1e-2), primary_fmr_target=0.1)
    pids = {pid for _, pid in run_tiles(whereabouts, None, range(10), executor)}
    killed: list[int] = []

    def kill_one(stage: str, _done: int, _total: int) -> None:
        if stage in ("select 1", "count") and not killed:
            killed.append(pids.pop())
            os.kill(killed[0], signal.SIGKILL)

    def identity(name: str, where: str, progress: Any) -> str:
        options = RunOptions(out=tmp_path / name, executor=where, progress=progress)
        return module.evaluate(Grid(), Protocol(spec, tmp_path), {"faces": faces}, options).result_id

    here = identity("here", "local", no_progress)
    there = identity("there", executor, kill_one)
    assert killed
    assert there == here


def elsewhere(array: Any) -> Any:
    """Return the same numbers where a message from another process may leave them: at an odd address."""
    room = np.empty(array.nbytes + 1, np.uint8)[1:]
    room[:] = np.frombuffer(array.tobytes(), np.uint8)
    found = room.view(array.dtype).reshape(array.shape)
    assert not found.flags.aligned
    return found


@pytest.mark.parametrize("comparator", ["cosine", "euclidean"])
def test_scores_have_the_same_bits_wherever_the_embeddings_lie(comparator: str) -> None:
    """numpy takes another routine for an aligned matrix times itself; no score may depend on that."""
    from dataclasses import replace

    from facebench.scoring.arrange import arrange, blocks

    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((400, 500)).astype(np.float32)
    here = arrange(vectors, np.arange(400) // 2, np.zeros((400, 1), int), comparator, block=130, panels=2)
    there = replace(here, vectors=elsewhere(here.vectors))
    for task in here.tasks():
        for rows, columns in blocks(here, task):
            assert np.array_equal(here.scores(rows, columns), there.scores(rows, columns))


def threads_of_products(_shared: None, _task: int) -> list[int]:
    import threadpoolctl

    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


@dask
def test_products_take_one_thread_on_a_cluster_as_they_do_here(dask_cluster: str) -> None:
    for executor in ("local", dask_cluster):
        found = dict(run_tiles(threads_of_products, None, range(2), executor, workers=2))
        assert all(set(threads) == {1} for threads in found.values())
        assert found


@dask
def test_a_measurement_on_dask_has_the_same_bytes(dask_cluster: str) -> None:
    from facebench.execution.compute import Compute
    from facebench.measure.choose_engine import measure_any
    from facebench.measure.sample import Images
    from facebench.schema import ProtocolSpec

    rng = np.random.default_rng(2)
    identity = np.arange(1500) // 10
    vectors = (rng.standard_normal((150, 500))[identity] + rng.standard_normal((1500, 500))).astype(np.float32)
    images = Images(tuple(map(str, range(1500))), tuple(f"p{i}" for i in identity), {})
    spec = ProtocolSpec(name="x", title="x", fmr_targets=(0.1, 1e-3), primary_fmr_target=1e-3)

    def measured(executor: str) -> str:
        compute = Compute(executor=executor, dense_limit=10, workers=2)
        found = measure_any(spec, images, vectors, None, comparator="cosine", seed=0, compute=compute)
        return "\n".join(each.model_dump_json() for each in (*found.estimates, *found.curves))

    assert measured(dask_cluster) == measured("local")
