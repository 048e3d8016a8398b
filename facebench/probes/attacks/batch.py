"""Runs one cell of the grid on one batch of pairs: every attack under one interface, with one ledger."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facebench.data.decode import decode
from facebench.data.png import encode_png
from facebench.probes.attacks import apgd, masking, minimal, nobox, plugged, queries, steps, universal, worn
from facebench.probes.attacks.head import Ledger, MarginRule, PairHead, frozen, succeeded
from facebench.schema import Comparator
from facebench.schema.attacks import ATTACKS, AttackCell, Knowledge, Norm

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """The pairs of a batch; the first axis of everything is the row.

    Attributes:
        faces: (N, H, W, 3) probes, which are changed.
        enrolled: (N, H, W, 3) the other images, which are not.
        others: (N, H, W, 3) a face that the victim tells from the enrolled one: a start for decision attacks.
        genuine: whether the pairs are genuine (dodging) or impostor (impersonation).
        seeds: (N,) from the ids of the images.
        landmarks: (N, 5, 2) of the probes, NaN where unknown.
    """

    faces: Pixels
    enrolled: Pixels
    others: Pixels
    genuine: bool
    seeds: tuple[int, ...]
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.faces)

    def some(self, which: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        return Rows(
            self.faces[which], self.enrolled[which], self.others[which], self.genuine,
            tuple(self.seeds[i] for i in which), self.landmarks[which],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Target:
    """The network that gradients come from: the victim's own, or a surrogate's.

    With a `rule`, `templates` holds what is true of each row, and the rule says how far an answer is right.
    """

    network: nn.Module
    templates: NDArray[np.float32]
    threshold: float
    comparator: Comparator
    rule: MarginRule | None = None

    def head(self, device: str, scale: float = 1.0) -> PairHead:
        """Return the two-class problem of the rows."""
        templates = torch.from_numpy(self.templates).to(device)
        return PairHead(self.network, templates, self.threshold, self.comparator, scale, self.rule)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an attack made of a batch, for E budgets and N rows.

    Attributes:
        pixels: (E, N, H, W, 3) the adversarial images in 8 bits; within the budget in Linf also after rounding.
        crossed: (E, N) whether the image crossed the threshold of the attacked network before rounding.
        first: (E, N) the same after the first restart only.
        distance: (E, N) size of the change before rounding, in the cell's norm.
        trace: (T, N) at the largest budget, whether the row had crossed at each step or number of queries.
        trace_at: (T,) the steps or queries.
        ledger: rows through the network.
        queries: asked in all.
        seconds: wall time.
    """

    pixels: Pixels
    crossed: NDArray[np.bool_]
    first: NDArray[np.bool_]
    distance: Floats
    trace: NDArray[np.bool_]
    trace_at: NDArray[np.int64]
    ledger: Ledger
    queries: int
    seconds: float


def to_tensor(faces: Pixels, device: str = "cpu") -> Tensor:
    """Return (N, 3, H, W) floats in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).to(device).float() / 255


def to_pixels(faces: Tensor, original: Pixels, levels: int | None) -> Pixels:
    """Return 8-bit faces, written as PNG and read again; `levels` limits the change of a value after rounding."""
    rounded = np.rint(faces.detach().cpu().numpy().astype(np.float64) * 255).transpose(0, 2, 3, 1)
    if levels is not None:
        whole = original.astype(np.int16)
        rounded = np.clip(rounded, whole - levels, whole + levels)
    return through_png(np.clip(np.nan_to_num(rounded), 0, 255).astype(np.uint8))


def through_png(faces: Pixels) -> Pixels:
    """Return what is read back after the faces were saved."""
    return np.stack([decode(encode_png(face)) for face in faces]) if len(faces) else faces


def size_of(change: Tensor, norm: Norm) -> Floats:
    """Return (N,) the size of changes of pixels in [0, 1], as `Norm` defines it."""
    flat = change.detach().double().flatten(1)
    if norm is Norm.L2:
        found = flat.square().mean(1).sqrt()
    elif norm is Norm.L1:
        found = flat.abs().mean(1)
    else:
        found = flat.abs().amax(1)
    return found.cpu().numpy()


def radius(eps: float, norm: Norm, size: int) -> float:
    """Return a budget as torch measures it: L2 and L1 are not divided by the number of values."""
    return eps * {Norm.L2: float(np.sqrt(size)), Norm.L1: float(size)}.get(norm, 1.0)


def run_gradient(cell: AttackCell, rows: Rows, target: Target, *, scale: float = 1.0, device: str = "cpu") -> Outcome:
    """Run a white-box, transfer or occlusion cell on a batch; `scale` is that of the head's logits."""
    started = time.perf_counter()
    with frozen(target.network):
        head = target.head(device, scale)
        faces = to_tensor(rows.faces, device)
        labels = torch.full((len(rows),), 0 if rows.genuine else 1, dtype=torch.long, device=device)
        budgets = cell.eps_values or (1.0,)
        made = (_minimal if cell.known.minimal else _budgeted)(cell, head, faces, labels, rows, budgets)
    norm = cell.norm or Norm.LINF
    levels = [int(np.floor(eps * 255 + 1e-6)) if norm is Norm.LINF else None for eps in budgets]
    return Outcome(
        pixels=np.stack([to_pixels(face, rows.faces, limit) for face, limit in zip(made.faces, levels, strict=True)]),
        crossed=np.stack(made.crossed), first=np.stack(made.first),
        distance=np.stack([size_of(face - faces, norm) for face in made.faces]),
        trace=made.trace, trace_at=np.arange(len(made.trace), dtype=np.int64), ledger=head.ledger, queries=0,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def run_blind(cell: AttackCell, rows: Rows, prototypes: nobox.Prototypes | None) -> Outcome:
    """Run a no-box cell: nothing is known of the victim, so nothing is known of success either."""
    started = time.perf_counter()
    faces = to_tensor(rows.faces)
    if prototypes is None:
        found = [worn.occluded(faces, outlines_of(cell, rows))]
    else:
        labels = torch.full((len(rows),), 0 if rows.genuine else 1, dtype=torch.long)
        enrolled, steps_taken = to_tensor(rows.enrolled), cell.steps or cell.known.steps or 100
        found = [
            nobox.attack_prototypes(prototypes, faces, enrolled, labels, eps=eps, steps=steps_taken, seeds=rows.seeds)
            for eps in cell.eps_values
        ]
    return _unseen(cell, rows, found, time.perf_counter() - started)


def _unseen(cell: AttackCell, rows: Rows, found: list[Tensor], seconds: float) -> Outcome:
    unknown, faces = np.zeros((len(found), len(rows)), bool), to_tensor(rows.faces)
    levels: list[int | None] = [int(eps * 255 + 1e-6) for eps in cell.eps_values] or [None] * len(found)
    return Outcome(
        pixels=np.stack([to_pixels(face, rows.faces, limit) for face, limit in zip(found, levels, strict=True)]),
        crossed=unknown, first=unknown,
        distance=np.stack([size_of(face - faces, cell.norm or Norm.LINF) for face in found]),
        trace=np.zeros((0, len(rows)), bool), trace_at=np.zeros(0, np.int64), ledger=Ledger(), queries=0,
        seconds=seconds,
    )  # fmt: skip


@dataclass
class _Made:
    faces: list[Tensor]
    crossed: list[NDArray[np.bool_]]
    first: list[NDArray[np.bool_]]
    trace: NDArray[np.bool_]


def _budgeted(
    cell: AttackCell, head: PairHead, faces: Tensor, labels: Tensor, rows: Rows, budgets: Sequence[float]
) -> _Made:
    made = _Made([], [], [], np.zeros((0, len(faces)), bool))
    traced = cell.knowledge is Knowledge.WHITE_BOX and cell.attack in ("fgsm", "bim", "pgd", "mim", "apgd")
    for eps in budgets:
        best, done = faces, torch.zeros(len(faces), dtype=torch.bool, device=faces.device)
        for restart in range(cell.restarts or cell.known.restarts):
            head.trace.clear()
            found = _once(cell, head, faces, labels, rows, eps, restart)
            found = torch.where(torch.isfinite(found), found, faces)
            with torch.no_grad():
                crossed = succeeded(head.margin(found), labels)
            if restart == 0:
                made.first.append(crossed.cpu().numpy())
                best = found
                if traced and eps == budgets[-1]:
                    made.trace = torch.stack([succeeded(margin, labels) for margin in head.trace]).cpu().numpy()
            best = torch.where((crossed & ~done)[:, None, None, None], found, best)
            done = done | crossed
        made.faces.append(best.detach())
        made.crossed.append(done.cpu().numpy())
    return made


def _once(
    cell: AttackCell, head: PairHead, faces: Tensor, labels: Tensor, rows: Rows, eps: float, restart: int
) -> Tensor:
    norm, n_steps = cell.norm or Norm.LINF, cell.steps or cell.known.steps or 1
    limit = radius(eps, norm, faces[0].numel())
    if cell.attack == "apgd":
        return apgd.auto_pgd(
            head, faces, labels, norm=norm.value, eps=limit, steps=n_steps, seeds=rows.seeds, restart=restart
        )
    if cell.attack not in ATTACKS:
        return plugged.climb_plugged(
            cell.attack, head, faces, labels, norm=norm, eps=limit, steps=n_steps, seeds=rows.seeds, restart=restart
        )
    if cell.attack == "universal":
        return universal.universal(head, faces, labels, eps=limit, steps=n_steps)
    if cell.norm is Norm.PATTERN:
        outlines = outlines_of(cell, rows)
        return worn.worn_pattern(head, faces, labels, outlines, steps=n_steps, seed=restart)
    return steps.climb(
        head, faces, labels, name=cell.attack, norm=norm.value, eps=limit, steps=n_steps, seeds=rows.seeds,
        restart=restart,
    )  # fmt: skip


def outlines_of(cell: AttackCell, rows: Rows) -> NDArray[np.bool_]:
    """Return (N, H, W) where the pattern of a cell covers each face."""
    height, width = rows.faces.shape[1:3]
    name = str(cell.pattern)
    return np.stack([worn.outline(name, points, height, width) for points in rows.landmarks])


def _minimal(
    cell: AttackCell, head: PairHead, faces: Tensor, labels: Tensor, rows: Rows, budgets: Sequence[float]
) -> _Made:
    """Run the attack once and read it at every budget: beyond a budget the row has not been opened."""
    norm = cell.norm or Norm.L2
    n_steps = cell.steps or cell.known.steps or 100
    found = minimal.smallest(head, faces, labels, name=cell.attack, norm=norm.value, steps=n_steps, seed=rows.seeds[0])
    with torch.no_grad():
        crossed = succeeded(head.margin(found), labels).cpu().numpy()
    size = size_of(found - faces, norm)
    made = _Made([], [], [], np.zeros((0, len(faces)), bool))
    for eps in budgets:
        inside = crossed & (size <= eps * (1 + 1e-6))
        keep = torch.from_numpy(inside).to(faces.device)
        made.faces.append(torch.where(keep[:, None, None, None], found, faces).detach())
        made.crossed.append(inside)
        made.first.append(inside)
    return made


def run_queries(cell: AttackCell, rows: Rows, score: queries.Score) -> Outcome:
    """Run a black-box cell on a batch; `score` tells how far a face is over the threshold, in the attacker's favour."""
    started = time.perf_counter()
    budgets, limit = cell.eps_values, cell.queries or cell.known.queries or 1000
    oracles = [
        queries.Oracle(score, np.zeros(len(rows), np.int64)) for _ in (budgets if cell.attack == "square" else "1")
    ]
    if cell.attack == "square":
        found = [
            queries.square(oracle, rows.faces, levels=int(eps * 255 + 1e-6), queries=limit, seeds=rows.seeds)
            for oracle, eps in zip(oracles, budgets, strict=True)
        ]
    else:
        walk = queries.hop_skip_jump if cell.attack == "hopskipjump" else queries.boundary
        starts = rows.others if rows.genuine else rows.enrolled
        found = [walk(oracles[0], rows.faces, starts, queries=limit, seeds=rows.seeds)] * len(budgets)
    opened = np.stack(
        [[_within(told, eps) is not None for told in one.history] for one, eps in zip(found, budgets, strict=True)]
    )
    pixels = np.stack(
        [
            np.where(inside[:, None, None, None], one.faces, rows.faces)
            for one, inside in zip(found, opened, strict=True)
        ]
    )
    at = np.unique(np.geomspace(10, limit, 24).astype(np.int64))
    first = [_within(told, budgets[-1]) for told in found[-1].history]
    trace = np.array([[asked is not None and asked <= point for asked in first] for point in at], bool)
    original, norm = to_tensor(rows.faces), cell.norm or Norm.LINF
    return Outcome(
        pixels=np.stack([through_png(image) for image in pixels]), crossed=opened, first=opened,
        distance=np.stack([size_of(to_tensor(image) - original, norm) for image in pixels]),
        trace=trace, trace_at=at, ledger=Ledger(), queries=sum(int(oracle.queries.sum()) for oracle in oracles),
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def _within(history: Sequence[tuple[int, float]], eps: float) -> int | None:
    """Return after how many queries a change of at most `eps` crossed the threshold, or None."""
    return next((asked for asked, distance in history if distance <= eps * (1 + 1e-6)), None)


def check_masking(rows: Rows, target: Target, *, device: str = "cpu") -> tuple[masking.Signs, Ledger]:
    """Return what a few rows say of the gradients of a network, and what the question cost."""
    with frozen(target.network):
        head = target.head(device)
        faces = to_tensor(rows.faces, device)
        labels = torch.full((len(rows),), 0 if rows.genuine else 1, dtype=torch.long, device=device)
        return masking.signs(head, faces, labels), head.ledger
