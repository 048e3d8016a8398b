"""Random numbers come from one enumeration of streams, each used for one thing."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facebench.metrics.streams import Fixed, Stream, fixed_generator, generator

PACKAGE = Path(__file__).resolve().parents[2] / "facebench"
MADE_WITH = {
    "leaderboard/fingerprint.py": "fingerprints of published entries were drawn with it; new ones are compared",
    "models/zoo/training.py": "the weights that are shipped were trained in this order of faces",
    "models/zoo/training_faces.py": "so were they on these faces",
}
SEVERAL = {"FAIR_DRAWS": "one per engine, which measure the same thing", "FIXED_SEED": "a default of nothing reported"}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def literal(node: ast.expr) -> bool:
    parts = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    return any(isinstance(part, ast.Constant) and isinstance(part.value, int) for part in parts)


def test_no_seed_is_written_into_the_code() -> None:
    wrong = []
    for where, tree in trees():
        if where == "metrics/streams.py" or where in MADE_WITH:
            continue
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func).rpartition(".")[2]
            drawn = name in ("default_rng", "SeedSequence", "RandomState", "manual_seed", "Random")
            if drawn and (not call.args or literal(call.args[0])):
                wrong.append(f"{where}:{call.lineno} {ast.unparse(call)}")
            wrong += [
                f"{where}:{call.lineno} {ast.unparse(call)[:80]}"
                for given in call.keywords
                if given.arg == "seed" and literal(given.value)
            ]
    assert not [each for each in wrong if "Generator().manual_seed" not in each]


def test_every_stream_is_used_for_one_thing() -> None:
    used = Counter(
        node.attr
        for where, tree in trees()
        if where != "metrics/streams.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("Stream", "Fixed")
    )
    assert set(used) == {each.name for each in (*Stream, *Fixed)}
    assert {name for name, times in used.items() if times > 1} <= set(SEVERAL)


def test_no_two_streams_are_one() -> None:
    """Also with parts numbered from 0, which add nothing to the list numpy makes a stream of."""
    seen = {}
    for stream in Stream:
        for more in ((), (0,), (1,), (0, 0), (1, 1)):
            first = tuple(generator(stream, 3, *more).integers(0, 2**62, 4).tolist())
            assert seen.setdefault(first, stream) is stream
    assert len(seen) == 3 * len(Stream)  # () and (0,) and (0, 0) are alike by numpy's rule
    several = {tuple(fixed_generator(each, 1).integers(0, 2**62, 4).tolist()) for each in Fixed}
    assert len(several) == len(Fixed)
    same = generator(Stream.VERTEX_WEIGHTS, 5).random(3)
    assert np.array_equal(same, np.random.default_rng([5, 1]).random(3)), "what a seed means has moved"
