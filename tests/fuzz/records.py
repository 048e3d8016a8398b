"""Records that people and other programs write: protocols, model files, embeddings, policies, results, tables."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from facebench.comparison.compare import compare_results
from facebench.files import asset_dir, read_json
from facebench.gate import check_gate, load_policy
from facebench.leaderboard.names import load_names
from facebench.measure.sample import Images
from facebench.models import load_model
from facebench.run.evaluate import rescore
from facebench.run.protocols import load_protocol
from facebench.run.report import render_report, verdict_sentences
from facebench.schema import Result
from facebench.sections.judgements.measure import read_judgements
from tests.comparison import factory
from tests.fuzz.formats import Format, parquet

VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)
IDS = ["a", "b", "c"]


def embeddings() -> dict[str, bytes]:
    """The same vectors in every kind of file."""
    from safetensors.numpy import save

    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, VECTORS)
    np.savez(npz, embs=VECTORS, filenames=np.array(IDS))
    table = "image_id,x,y\na,1,2\nb,3,4\nc,5,6\n"
    return {
        "e.npy": npy.getvalue(),
        "e.npz": npz.getvalue(),
        "e.safetensors": save({"embeddings": VECTORS}, {"image_ids": json.dumps(IDS)}),
        "e.parquet": parquet(table),
        "e.json": json.dumps({"path": IDS, "id": IDS}).encode(),
    }


def model_formats() -> Iterator[Format]:
    features = {
        f"{name}.bin": struct.pack("<4i", 4, 1, 4, 5) + row.tobytes() for name, row in zip(IDS, VECTORS, strict=True)
    }
    for name, data in embeddings().items():
        lines = ["name: m", "adapter: embeddings", f"weights: {name}", "comparator: cosine"]
        if name == "e.npy":
            lines.append("ids: ids.txt")
        files = {name: data, "m.yaml": "\n".join(lines).encode(), "ids.txt": b"a\nb\nc\n", **features}
        kind = "json" if name == "e.json" else "binary"
        share = 0.5 if name == "e.parquet" else 1.0
        yield Format(f"embeddings {name}", files, name, kind, lambda root: load_model(str(root / "m.yaml")), share)
        if name == "e.npy":
            yield Format("embeddings ids", files, "ids.txt", "text", lambda root: load_model(str(root / "m.yaml")))
            yield Format("model file", files, "m.yaml", "text", lambda root: load_model(str(root / "m.yaml")))
        if name == "e.json":
            yield Format("megaface feature", files, "a.bin", "binary", lambda root: load_model(str(root / "m.yaml")))


def read_protocol(root: Path) -> object:
    return load_protocol(str(root / "p.yaml"))


def protocol_formats() -> Iterator[Format]:
    for name in ("verification", "phantom-core", "identification"):
        text = (asset_dir("protocols") / f"{name}.yaml").read_bytes()
        yield Format(
            f"protocol {name}", {"p.yaml": text}, "p.yaml", "text", lambda root: load_protocol(str(root / "p.yaml"))
        )
    policy = asset_dir("protocols") / "gate" / "no-regression.yaml"
    found = policy if policy.is_file() else next(asset_dir("protocols").glob("*/no-regression.yaml"))
    yield Format(
        "policy", {"p.yaml": found.read_bytes()}, "p.yaml", "text", lambda root: load_policy(str(root / "p.yaml"))
    )


def table_formats() -> Iterator[Format]:
    """The names of the leaderboard's models, judgements of people, and files of answers."""
    names = {"schema_version": 1, "models": {"a": {"maintainer": "us", "weights": ["0" * 64]},
                                             "b": {"maintainer": "them", "weights": ["1" * 64, "2" * 64]}}}  # fmt: skip
    yield Format("names of models", {"models.json": json.dumps(names).encode()}, "models.json", "json", load_names)
    judged = b"image_a,image_b,similarity,judge\ni0,i1,3.5,j1\ni1,i2,1,j1\ni0,i1,4,j2\ni1,i2,2,j2\n"
    images = Images(("i0", "i1", "i2"), ("p", "p", "q"), {})
    yield Format("judgements", {"j.csv": judged}, "j.csv", "text", lambda root: read_judgements(root / "j.csv", images))
    answers = {
        "probabilities": b"image_id,p_joy,p_calm\ni0,0.25,0.75\ni1,1,0\n", "words": b"image_id,label\ni0,Joy.\ni1,\n",
        "values": b"image_id,valence,arousal\ni0,-0.5,0.25\ni1,0,1\n",
    }  # fmt: skip
    for name, content in answers.items():
        yield Format(
            f"predictions of {name}", {"a.csv": content}, "a.csv", "text",
            lambda root: load_model(f"predictions:{root / 'a.csv'}"),
        )  # fmt: skip


@cache
def result_files() -> dict[str, bytes]:
    """Two results with the files they were computed from."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, noise in (("base", 0.6), ("other", 0.9)):
            of = factory.images(8, 2)
            spec = {"uncertainty": {"replicates": 100}}
            factory.write_result(Path(folder) / name, factory.vectors(8, 2, noise=noise), of=of, name=name, spec=spec)
        for path in Path(folder).rglob("*.*"):
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def signed(root: Path) -> Path:
    """Give a mutated result an id that agrees with it, as a forger would; refuses what is no result."""
    path = root / "other" / "result.json"
    result = Result.parse(read_json(path, "result"), where=f"result {path}").with_id()
    path.write_text(result.model_dump_json(), encoding="utf-8")
    return path


def reported(root: Path) -> object:
    result = Result.parse(read_json(signed(root), "result"), where="result")
    verdict_sentences(result)
    return render_report(result)


def gated(root: Path) -> object:
    comparison, results = compare_results([root / "base", signed(root)])
    return check_gate(comparison, results[1], load_policy("no-regression"))


def rescored(root: Path) -> object:
    return rescore(signed(root))


def side_file(root: Path) -> object:
    """Read the files beside a result whose hashes agree with them, as a forger would have it."""
    from facebench.files import sha256_bytes

    path = root / "other" / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    for artifact in result["artifacts"]:
        artifact["sha256"] = sha256_bytes((root / "other" / artifact["path"]).read_bytes())
    path.write_text(json.dumps(result), encoding="utf-8")
    return rescore(signed(root))


def result_formats() -> Iterator[Format]:
    files, target = result_files(), "other/result.json"
    yield Format("result in a report", files, target, "json", reported, 0.25, True)
    yield Format("result in compare and gate", files, target, "json", gated, 0.1, True)
    yield Format("result rescored", files, target, "json", rescored, 0.1, True)
    for name, kind in (("images.json", "json"), ("protocol.json", "json"), ("embeddings.safetensors", "binary")):
        yield Format(f"beside a result: {name}", files, f"other/{name}", kind, side_file, 0.08, True)


def record_formats() -> Iterator[Format]:
    yield from protocol_formats()
    yield from table_formats()
    yield from model_formats()
    yield from result_formats()
