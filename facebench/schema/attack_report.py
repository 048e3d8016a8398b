"""What a result says of attacks beyond its estimates."""

from __future__ import annotations

from pydantic import Field

from facebench.schema._base import Strict
from facebench.schema.attacks import AttackCell, Goal
from facebench.schema.points import AtPoint


class Spent(Strict):
    """What a cell cost."""

    forwards: int = Field(description="faces through the network")
    backwards: int = Field(description="faces whose gradient was taken")
    queries: int = Field(description="faces the victim was asked about")
    checks: int = Field(description="passes of the masking checks, forwards and backwards together")
    seed: int = Field(description="of the run; each pair's own seed follows from it and the ids of its images")
    seconds: float = Field(description="wall time of the attack; no part of the result's id")


class Signs(Strict):
    """What a few pairs of a cell say of the model's gradients; measured with the model at hand.

    Null where the attack takes no gradients of the victim.
    """

    n_pairs: int
    zero_gradients: float | None = Field(None, description="share of gradients that were zero everywhere")
    broken_gradients: float | None = Field(None, description="share of gradients with NaN or infinity")
    agreement: float | None = Field(None, description="1 - relative difference from finite differences, median")
    free: float | None = Field(None, description="share of pairs opened by an attack without a budget")
    scatter: float | None = Field(None, description="largest difference between two answers to the same face")
    rescaled: float | None = Field(None, description="share of verdicts that stay when the logits are scaled by 4")
    broken: bool = Field(False, description="the model returned NaN")


class Check(Strict):
    """One test of whether a cell shows robustness or hidden gradients."""

    name: str
    passed: bool | None = Field(description="null: not applicable, or too little to tell")
    value: float | None = None
    limit: float | None = None
    detail: str = ""


class Level(Strict):
    """One budget of a cell; counts are of attacked pairs."""

    condition: str
    eps: str | None
    n: int = Field(description="pairs attacked: those right before the attack")
    successes: int = Field(description="after rounding to 8 bits, saving and reading again, through the adapter")
    successes_float: int = Field(description="before rounding, on the attacked network")
    median_change: float | None = Field(description="of the pairs that crossed before rounding, in the cell's norm")


class Smallest(Strict):
    """The Kaplan-Meier median of the smallest change that opens a pair, before rounding; failures are censored.

    In units of 1/255 in the cell's norm. Null: fewer than half of the pairs were opened within the cap.
    """

    median: float | None
    low: float | None
    high: float | None
    events: int
    censored: int
    cap: float = Field(description="largest budget tried; pairs not opened within it are censored here")
    grid: bool = Field(description="changes are known only up to the budgets tried")


class Trace(Strict):
    """Success at the largest budget after so many steps or queries."""

    unit: str = Field(description="steps or queries")
    at: tuple[int, ...]
    share: tuple[float, ...]


class Picture(Strict):
    """An attacked phantom face, as JPEG in base64; no part of the result's id."""

    before: str
    after: str
    change: str = Field(description="grey is no change; contrast is stretched to the largest change")


class CellReport(Strict):
    """What one cell of the grid found."""

    cell: AttackCell
    n_pairs: int = Field(description="pairs drawn, clean errors among them")
    levels: tuple[Level, ...]
    smallest: Smallest | None = None
    trace: Trace | None = None
    checks: tuple[Check, ...] = ()
    unreliable: bool = False
    signs: Signs
    spent: Spent
    picture: Picture | None = None


class AnswerAttackReport(Strict):
    """Attacks on a sample of the answers; a pair of `cells` is an image here."""

    margin: str = Field(description="what is attacked, in words")
    n_images: int = Field(description="judged images drawn; a cell with fewer `n_pairs` is judged on the first of them")
    n_clean_errors: int = Field(description="wrong before any attack: they stay as they are, and count as wrong")
    cells: tuple[CellReport, ...]


class GoalReport(Strict):
    """The pairs of one goal."""

    goal: Goal
    n_pairs: int = Field(description="comparisons drawn")
    n_clean_errors: int = Field(description="wrong before any attack: never attacked, never a success")


class AttackReport(AtPoint):
    """Attacks on a sample of the comparisons."""

    threshold: float
    goals: tuple[GoalReport, ...]
    cells: tuple[CellReport, ...]
