"""The files of a run: what is saved beside a result so that every number can be recomputed without the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.files import is_folder, parse_json, printable, read_bytes, read_json, sha256_bytes, write_atomic
from facebench.measure.sample import Images, Pairs
from facebench.metrics.catalogue import metric
from facebench.schema import Artifact, ProtocolSpec, Result

EMBEDDINGS = "embeddings.safetensors"
IMAGES = "images.json"
PROTOCOL = "protocol.json"
SCORES = "scores.safetensors"
RESULT = "result.json"


def section_file(name: str) -> str:
    """Return the name of the file that holds a section's tensors."""
    return f"{name}.safetensors"


def save_inputs(
    out: Path, vectors: NDArray[np.float32], images: Images, pairs: Pairs | None, spec: ProtocolSpec
) -> tuple[Artifact, ...]:
    """Write embeddings (with the pairs), image table and protocol beside the result; return their hashes."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {"embeddings": np.ascontiguousarray(vectors)}
    if pairs is not None:
        tensors |= {"pair_a": pairs.a, "pair_b": pairs.b, "pair_genuine": pairs.genuine}
        if pairs.fold is not None:
            tensors["pair_fold"] = pairs.fold
    embeddings = save(tensors, {"image_ids": json.dumps(list(images.image_ids))})
    return _write_all(out, {EMBEDDINGS: ("embeddings", embeddings)}, images, spec)


def save_scores(
    out: Path, scores: NDArray[np.float64], pairs: Pairs, images: Images | None, n_images: int, spec: ProtocolSpec
) -> tuple[Artifact, ...]:
    """Write scores with their comparisons, the table of samples and the protocol beside the result; return the hashes.

    Samples without names (`images` is None) are only counted.
    """
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {
        "scores": scores, "pair_a": pairs.a, "pair_b": pairs.b, "pair_genuine": pairs.genuine,
    }  # fmt: skip
    if pairs.fold is not None:
        tensors["pair_fold"] = pairs.fold
    content = save(tensors, {"n_samples": str(n_images)})
    return _write_all(out, {SCORES: ("scores", content)}, images or Images((), None, {}), spec)


def _write_all(
    out: Path, contents: dict[str, tuple[str, bytes]], images: Images, spec: ProtocolSpec
) -> tuple[Artifact, ...]:
    table = {
        "image_id": images.image_ids,
        "identity": images.identities,
        "attributes": {name: list(column) for name, column in images.attributes.items()},
        **({} if images.roles is None else {"roles": images.roles}),
    }
    contents = {
        **contents,
        IMAGES: ("images", (_listed(table) + "\n").encode()),
        PROTOCOL: ("protocol", protocol_text(spec).encode()),
    }
    artifacts = []
    for name, (kind, content) in contents.items():
        write_atomic(out / name, content)
        artifacts.append(Artifact.model_validate({"path": name, "sha256": sha256_bytes(content), "kind": kind}))
    return tuple(artifacts)


def _listed(value: Any) -> str:
    """Return JSON as ``json.dumps(value, ensure_ascii=False, indent=0)`` does, quickly for long columns."""
    if isinstance(value, dict) and value:
        fields = (f"{json.dumps(key, ensure_ascii=False)}: {_listed(part)}" for key, part in value.items())
        return "{\n" + ",\n".join(fields) + "\n}"
    if isinstance(value, list | tuple) and value:
        cells = map(encode_basestring if set(map(type, value)) == {str} else _listed, value)
        return "[\n" + ",\n".join(cells) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def protocol_text(spec: ProtocolSpec) -> str:
    """Return a protocol as JSON: the keys that were written, and no defaults."""
    return spec.model_dump_json(indent=1, exclude_unset=True) + "\n"


def save_section(out: Path, name: str, tensors: Mapping[str, NDArray[Any]]) -> Artifact:
    """Write the tensors of a section beside the result; return the file's hash."""
    from safetensors.numpy import save

    content = save({key: np.ascontiguousarray(value) for key, value in tensors.items()})
    path = section_file(name)
    write_atomic(out / path, content)
    return Artifact(path=path, sha256=sha256_bytes(content), kind="section")


def load_section(result: Result, folder: Path, name: str) -> dict[str, NDArray[Any]]:
    """Read the tensors a section saved; none when it saved none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    for artifact in result.artifacts:
        if artifact.path == section_file(name):
            try:
                return load(_checked(artifact, folder))
            except SafetensorError as error:
                raise InputError(f"{folder / artifact.path}: not a safetensors file: {error}") from error
    return {}


def save_result(result: Result, path: Path) -> None:
    """Write a result as JSON: one line per field, the same bytes for the same result."""
    write_atomic(path, result.model_dump_json(indent=1) + "\n")


def load_result(path: Path) -> Result:
    """Read a result, or the result in a folder, and check its id.

    Raises:
        InputError: the file is no result, its content does not match its result_id, or it holds a metric nobody
            defined here: nothing could be said of it, not even which direction is better.
    """
    path = Path(path)
    if is_folder(path):
        path = path / RESULT
    result = Result.parse(read_json(path, "result"), where=f"result {path}")
    if result.result_id != result.compute_id():
        raise InputError(f"result {path}: its content does not match its result_id; it was changed after the run")
    for number, estimate in enumerate(result.estimates):
        metric(estimate.metric, where=f"result {printable(path)}, estimates[{number}]")
    return result


def load_inputs(result: Result, folder: Path) -> tuple[NDArray[np.float32], Images, Pairs | None, ProtocolSpec]:
    """Read what a result was computed from, checking each file against the hash in the result.

    Raises:
        InputError: a file is missing, changed or malformed.
    """
    contents = _contents(result, folder, "embeddings")
    images = _parse_images(contents["images"], folder / IMAGES)
    vectors, pairs = _parse_embeddings(contents["embeddings"], folder / EMBEDDINGS)
    if len(vectors) != len(images.image_ids):
        raise InputError(f"{folder}: {len(vectors)} embeddings for {len(images.image_ids)} images")
    if pairs is not None:
        _check_pairs(pairs, len(vectors), folder / EMBEDDINGS)
    spec = _parse_protocol(contents["protocol"], folder / PROTOCOL)
    return vectors, images, pairs, spec


def load_scores(result: Result, folder: Path) -> tuple[NDArray[np.float64], Images, Pairs, ProtocolSpec]:
    """Read what a result of a score file was computed from, checking each file against the hash in the result.

    Raises:
        InputError: a file is missing, changed or malformed.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load

    contents = _contents(result, folder, "scores")
    path = folder / SCORES
    try:
        tensors = load(contents["scores"])
        with safe_open(path, "np") as stored:
            n_samples = int(stored.metadata()["n_samples"])
        pairs = Pairs(tensors["pair_a"], tensors["pair_b"], tensors["pair_genuine"], tensors.get("pair_fold"))
        scores = tensors["scores"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a FaceBench scores file: {error}") from error
    images = _parse_images(contents["images"], folder / IMAGES)
    if not images.image_ids:
        if not 0 <= n_samples <= 2 * len(scores):
            raise InputError(f"{path}: {n_samples:,} samples for {len(scores):,} comparisons")
        images = unnamed_samples(n_samples)
    _check_pairs(pairs, len(images.image_ids), path)
    if scores.shape != pairs.a.shape or scores.dtype.kind != "f":
        raise InputError(f"{path}: {scores.shape} scores of type {scores.dtype} for {pairs.a.shape} comparisons")
    return scores, images, pairs, _parse_protocol(contents["protocol"], folder / PROTOCOL)


def _parse_protocol(content: bytes, path: Path) -> ProtocolSpec:
    return ProtocolSpec.parse(parse_json(content, str(path)), where=str(path))


def _check_pairs(pairs: Pairs, n_images: int, path: Path) -> None:
    """Refuse comparisons of other lengths or types, or of images that are not there."""
    columns = [pairs.a, pairs.b, pairs.genuine, *([] if pairs.fold is None else [pairs.fold])]
    kinds = [column.dtype.kind for column in columns]
    if len({column.shape for column in columns}) > 1 or pairs.a.ndim != 1 or kinds[:3] != ["i", "i", "b"]:
        raise InputError(f"{path}: the comparisons have the shapes {[c.shape for c in columns]} and types {kinds}")
    if len(pairs.a) and not (min(pairs.a.min(), pairs.b.min()) >= 0 and max(pairs.a.max(), pairs.b.max()) < n_images):
        raise InputError(f"{path}: a comparison names an image beyond the {n_images:,} there are")
    if pairs.fold is not None and (kinds[3] != "i" or (len(pairs.fold) and pairs.fold.min() < 0)):
        raise InputError(f"{path}: the folds are no whole numbers from 0")


def is_scored(result: Result) -> bool:
    """Whether a result was computed from a file of scores."""
    return any(artifact.path == SCORES for artifact in result.artifacts)


def unnamed_samples(n: int) -> Images:
    """Return samples of which nothing is known but that they were compared."""
    return Images(tuple(map(str, range(n))), None, {})


def _contents(result: Result, folder: Path, kind: str) -> dict[str, bytes]:
    wanted = (kind, "images", "protocol")
    contents: dict[str, bytes] = {
        artifact.kind: _checked(artifact, folder) for artifact in result.artifacts if artifact.kind in wanted
    }
    missing = set(wanted) - set(contents)
    if missing:
        again = "; its numbers come from a file of scores" if SCORES in {a.path for a in result.artifacts} else ""
        raise InputError(
            f"result in {folder} names no {' and no '.join(sorted(missing))} file{again or '; run it again'}"
        )
    return contents


def _checked(artifact: Artifact, folder: Path) -> bytes:
    if Path(artifact.path).name != artifact.path:
        raise InputError(f"artifact {artifact.path!r} lies outside the folder of its result")
    if (folder / artifact.path).is_symlink():
        raise InputError(f"{folder / artifact.path} is a link, which no result may hold; put the file itself there")
    content = read_bytes(folder / artifact.path, f"{artifact.kind} file")
    if sha256_bytes(content) != artifact.sha256:
        raise InputError(f"{folder / artifact.path} was changed: its sha256 is not the one in the result")
    return content


def _parse_images(content: bytes, path: Path) -> Images:
    try:
        table = parse_json(content, str(path))
        identities = table["identity"]
        columns = {name: tuple(column) for name, column in table["attributes"].items()}
        roles = tuple(table["roles"]) if "roles" in table else None
        found = Images(tuple(table["image_id"]), None if identities is None else tuple(identities), columns, roles)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not an image table: {error}") from error
    texts = {"image_id": found.image_ids, "identity": found.identities or found.image_ids}
    for name, column in {**texts, **columns, "roles": roles or (None,) * len(found.image_ids)}.items():
        allowed: tuple[type, ...] = (str,) if name in texts else (str, float, int, type(None))
        if len(column) != len(found.image_ids) or not all(isinstance(cell, allowed) for cell in column):
            raise InputError(
                f"{path}: {name!r:.80} must hold one plain value for each of the {len(found.image_ids)} images"
            )
    if len(set(found.image_ids)) != len(found.image_ids):
        raise InputError(f"{path}: an image_id is given twice")
    return found


def _parse_embeddings(content: bytes, path: Path) -> tuple[NDArray[np.float32], Pairs | None]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
        vectors = tensors["embeddings"]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a FaceBench embeddings file: {error}") from error
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise InputError(f"{path}: expected (N, D) floats, found {vectors.shape} {vectors.dtype}")
    if "pair_a" not in tensors:
        return vectors, None
    if not {"pair_b", "pair_genuine"} <= set(tensors):
        raise InputError(f"{path}: not a FaceBench embeddings file: a column of the pairs is missing")
    pairs = Pairs(tensors["pair_a"], tensors["pair_b"], tensors["pair_genuine"], tensors.get("pair_fold"))
    return vectors, pairs
