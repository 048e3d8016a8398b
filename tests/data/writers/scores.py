"""Score files: bob, pyeer, NIST, BEE and CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

BFW_HEADER = "fold,p1,p2,label,id1,id2,att1,att2,vgg16,resnet50,senet50,a1,a2,g1,g2,e1,e2,sphereface"


def lines(path: Path, rows: Iterable[Sequence[object] | str]) -> Path:
    text = "".join((row if isinstance(row, str) else " ".join(map(str, row))) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def bfw_row(**cells: object) -> str:
    row: dict[str, object] = {
        "fold": 1, "p1": "asian_females/n1/0001.jpg", "p2": "asian_females/n1/0002.jpg", "label": 1, "id1": "n1",
        "id2": "n1", "att1": "asian_females", "att2": "asian_females", "vgg16": 0.8, "resnet50": 0.7, "senet50": 0.9,
        "a1": "AF", "a2": "AF", "g1": "F", "g2": "F", "e1": "A", "e2": "A", "sphereface": 0.5,
    }  # fmt: skip
    return ",".join(str({**row, **cells}[name]) for name in BFW_HEADER.split(","))


def bee(
    path: Path, values: np.ndarray, *, form: str, target: str = "T.xml", query: str = "Q.xml", order: str = "<"
) -> Path:
    kind = "MF" if values.dtype.kind == "f" else "MB"
    mark = np.array([0x12345678], f"{order}u4").tobytes()
    header = f"{form}\n{target}\n{query}\n{kind} {values.shape[0]} {values.shape[1]} ".encode() + mark + b"\n"
    path.write_bytes(header + values.astype(values.dtype.newbyteorder(order)).tobytes())
    return path
