"""Boards made in memory: as many models as asked, with figures that follow from normal scores."""

from __future__ import annotations

import random

from facebench.leaderboard.rank import rank_entries
from facebench.schema import Result
from facebench.schema.leaderboard import Board, Listed, ListedBoard
from tests.report import factory


def make_board(
    n: int, *, base: Result | None = None, protocol: str = "faces-verification", seed: int = 0
) -> ListedBoard:
    """A board of n models whose TAR is spread around that of the base."""
    base = base or factory.full()
    rng = random.Random(seed)
    results = [_model(base, protocol, f"model-{i:03d}", rng.gauss(0, 0.03)) for i in range(n)]
    ranks = rank_entries(results, [None] * n)
    entries = [
        Listed(result=r, path=f"{protocol}/{r.model.name}/{i:064x}.json", rank=rank)
        for i, (r, rank) in enumerate(zip(results, ranks, strict=True))
    ]
    entries.sort(key=lambda entry: -(entry.rank.value or 0.0))
    board = Board(protocol=results[0].protocol, data=base.data, images_sha256="0" * 64)
    return ListedBoard(board=board, entries=tuple(entries))


def _model(base: Result, protocol: str, name: str, shift: float) -> Result:
    primary = base.protocol.primary_fmr_target
    estimates = tuple(
        e.model_copy(
            update={
                k: min(1.0, max(0.0, v + shift))
                for k in ("value", "ci_low", "ci_high")
                if (v := getattr(e, k)) is not None
            }
        )
        if (e.metric, e.group, e.fmr_target, e.condition) == ("tar", "all", primary, "clean")
        else e
        for e in base.estimates
    )
    return base.model_copy(
        update={
            "estimates": estimates,
            "model": base.model.model_copy(update={"name": name}),
            "protocol": base.protocol.model_copy(update={"name": protocol}),
        }
    )
