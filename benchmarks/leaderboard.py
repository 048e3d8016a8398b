"""How long the site of a leaderboard takes to build: python benchmarks/leaderboard.py [ENTRIES]

Entries are copies of a committed one with figures and fingerprints of their own and a verdict beside each, as after
their validation, read from disk as the command reads them. The target is 500 entries in under 20 s on two idle cores.
The rival named beside it is plain `json.loads` of the same files.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from facebench.leaderboard import load_boards
from facebench.leaderboard.fingerprint import PAIRS, VALUES, Fingerprint, save_fingerprint
from facebench.leaderboard.folder import BOARD, Place
from facebench.leaderboard.names import save_names
from facebench.leaderboard.site import write_site
from facebench.leaderboard.verdicts import save_verdict
from facebench.schema import Result
from facebench.schema.leaderboard import ModelNames, NamedModel, Validation

ROOT = Path(__file__).resolve().parent.parent / "leaderboard"


def copies(n: int, board: Path) -> None:
    """Write n entries made of the first committed one of the first protocol."""
    (first, *_) = sorted(ROOT.glob(f"*/{BOARD}"))
    folder = board / first.parent.name
    folder.mkdir(parents=True)
    for name in (BOARD, "images.json", "protocol.json"):
        shutil.copy(first.parent / name, folder)
    source = next(path for path in sorted(first.parent.glob("*/*.json")) if len(path.stem) == 64)
    result = Result.model_validate_json(source.read_bytes())
    models = {}
    for i in range(n):
        card = result.model.model_copy(update={"name": f"model-{i:03d}", "weights_sha256": f"{i:064x}"})
        shift = (i - n / 2) / n / 5
        estimates = tuple(
            e.model_copy(update={"value": min(1.0, max(0.0, e.value + shift))})
            if e.metric == "tar" and e.group == "all" and e.condition == "clean" and e.value is not None
            else e
            for e in result.estimates
        )
        own = result.model_copy(update={"model": card, "estimates": estimates}).with_id()
        place = Place(board, folder.name, card.name, own.result_id)
        place.path.parent.mkdir()
        place.path.write_text(own.model_dump_json(exclude_defaults=True), encoding="utf-8")
        rng = np.random.default_rng(i)
        values, pairs = np.sort(rng.random(VALUES))[::-1].copy(), rng.random(PAIRS)
        save_fingerprint(Fingerprint(values, pairs, own.result_id, f"{i:064x}"), place.fingerprint)
        save_verdict(place, Validation(entry=place.relative, estimates=len(estimates)))
        models[card.name] = NamedModel(maintainer="benchmark", weights=(f"{i:064x}",))
    save_names(board, ModelNames(models=models))


def main(n: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        board, out = Path(temporary) / "board", Path(temporary) / "site"
        copies(n, board)
        started = time.perf_counter()
        for path in board.glob("*/*/*.json"):
            json.loads(path.read_bytes())
        plain = time.perf_counter() - started
        started, cpu = time.perf_counter(), time.process_time()
        boards = load_boards(board)
        assert len(boards[0].entries) == n
        read = time.perf_counter() - started
        pages = write_site(boards, out, "benchmark")
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        largest = max(pages, key=lambda path: path.stat().st_size)
        print(f"{n} entries: {wall:.1f} s ({cpu:.1f} s of CPU), of which reading and ranking {read:.1f} s")
        print(f"json.loads of the same files: {plain:.1f} s; the site takes {wall / plain:.1f} times that")
        print(f"{len(pages)} pages, the largest {largest.stat().st_size / 1e6:.2f} MB: {largest.relative_to(out)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
