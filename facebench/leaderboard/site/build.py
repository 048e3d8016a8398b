"""Write the site: static pages that open from disk and under any path, and load nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facebench.files import file_name, write_atomic
from facebench.leaderboard.site.figures import Figures, Shown
from facebench.leaderboard.site.pages import DATA, index_page, model_page, protocol_page
from facebench.schema.leaderboard import Listed, ListedBoard


def write_site(boards: Sequence[ListedBoard], out: Path, version: str) -> list[Path]:
    """Write every page and the JSON of all figures to a folder; return the pages.

    Equal entries give equal bytes. Pages of models that are gone are removed.

    Raises:
        WriteError: the folder cannot be written.
    """
    shown = [Shown(board) for board in boards]
    pages = {out / "index.html": index_page(shown, version)}
    by_model: dict[str, list[tuple[Shown, Listed]]] = {}
    for board in shown:
        pages[out / "protocols" / f"{file_name(board.board.protocol.name, 'protocol.name')}.html"] = protocol_page(
            board, version
        )
        for entry in board.entries:
            by_model.setdefault(entry.result.model.name, []).append((board, entry))
    for name, entries in sorted(by_model.items()):
        pages[out / "models" / f"{file_name(name, 'model.name')}.html"] = model_page(name, entries, version)
    for path, page in pages.items():
        write_atomic(path, page)
    for folder in ("models", "protocols"):
        for path in (out / folder).glob("*.html"):
            if path not in pages:
                path.unlink()
    write_atomic(out / DATA, json.dumps(_figures(shown), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return list(pages)


def _figures(boards: Sequence[Shown]) -> dict[str, Any]:
    """Return what the tables show as data: the leading figures of every entry, and where the entry lies."""
    return {
        "schema_version": 1,
        "protocols": [
            {
                "protocol": board.board.protocol.model_dump(mode="json"),
                "data": board.board.data.model_dump(mode="json"),
                "entries": [_entry(figures) for figures in board.figures.values()],
                "left_out": [v.model_dump(mode="json", include={"entry", "problems"}) for v in board.listed.left_out],
            }
            for board in boards
        ],
    }


def _entry(figures: Figures) -> dict[str, Any]:
    entry, reading = figures.listed, figures.reading
    result = entry.result
    leading = {
        "tar": reading.find("tar", target=reading.primary),
        "eer": reading.find("eer"),
        "fmr_gap": figures.gap("fmr"),
        "fnmr_gap": figures.gap("fnmr"),
        "latency_ms": figures.latency_estimate,
    }
    altered = [e for e in result.estimates if e.metric == "mean_tar" and e.group == "all"]
    attacked = [e for e in result.estimates if e.metric == "robust_tar" and e.group == "all"]
    return {
        "model": result.model.name,
        "weights_sha256": result.model.weights_sha256,
        "result_id": result.result_id,
        "entry": entry.path,
        "started": result.run.started,
        "rank": None if entry.rank is None else entry.rank.model_dump(mode="json"),
        "paired": entry.paired,
        "elsewhere": entry.elsewhere,
        "notes": [note.model_dump(mode="json") for note in entry.notes],
        "recomputed": [each.model_dump(mode="json") for each in result.run.recomputed],
        "machine_fingerprint": None if figures.machine is None else figures.machine[0],
        **{name: None if e is None else e.model_dump(mode="json", exclude_none=True) for name, e in leading.items()},
        "altered": [e.model_dump(mode="json", exclude_none=True) for e in altered],
        "attacked": [e.model_dump(mode="json", exclude_none=True) for e in attacked],
    }
