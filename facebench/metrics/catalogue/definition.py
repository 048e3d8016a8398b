"""What is known of a metric before anything is measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from math import inf


class Direction(StrEnum):
    """Which of two values is the better one."""

    HIGHER = "higher"
    LOWER = "lower"
    NONE = (
        "none"  # neither: a property, a test statistic, a figure whose sign tells what it is but not whether it is good
    )


class Kind(StrEnum):
    """What sort of number a metric is."""

    RATE = "rate"  # errors, or hits, over what was counted
    MEAN = "mean"  # of one value per comparison, search, image or map
    DIFFERENCE = "difference"  # of two such values, signed
    GAP = "gap"  # between groups, in units of the rate; 0 means alike
    RATIO = "ratio"  # of two values; 1 means alike
    INDEX = "index"  # of inequality or of separation, without a unit of its own
    CORRELATION = "correlation"
    COST = "cost"  # bits
    TEST = "test"  # statistic of a test
    COUNT = "count"  # known exactly: elements, bytes, operations
    TIMING = "timing"  # measured on one machine: times, rates of work, memory


class Format(StrEnum):
    """How a value is written."""

    NUMBER = "number"  # three significant digits
    SHARE = "share"  # best at 1: near it as many digits as the remainder needs
    FMR = "fmr"  # small rates: two digits and an exponent
    COUNT = "count"  # whole, with thousands separators


class Counted(StrEnum):
    """What a value was counted over, so which field of an estimate holds its number."""

    GENUINE = "genuine"  # n_genuine: comparisons, searches or maps with a mate
    IMPOSTOR = "impostor"  # n_impostor
    BOTH = "both"  # genuine and impostor comparisons together
    EITHER = "either"  # genuine or impostor comparisons, as the condition says
    IMAGES = "images"  # n_images
    NOTHING = "nothing"


class Topic(StrEnum):
    """Which question a metric belongs to: the section of the report, and of docs/metrics.md."""

    VERIFICATION = "verification"
    IDENTIFICATION = "identification"
    EFFICIENCY = "efficiency"
    DIFFERENTIAL = "differential"
    PUBLISHED = "published"
    LADDER = "ladder"
    COVARIATES = "covariates"
    DISCARD = "discard"
    JUDGEMENTS = "judgements"
    CAUSAL = "causal"
    ALTERED = "altered"
    SEARCH = "search"
    ATTACK = "attack"
    EXPLANATION = "explanation"
    ANSWERS = "answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDef:
    """One metric.

    Attributes:
        name: in the field `metric` of an estimate.
        label: a few words, at the head of a row.
        words: one or two sentences on how to read a value.
        topic, kind, direction, format, counted: see their classes.
        bounds: the lowest and the highest value there can be; no interval may reach beyond.
        intervals: the `ci_method` an interval of it may carry; the first is the usual one, and N stands for any
            number. Empty: none is known.
        rate: `fmr` or `fnmr` where it is a measure of one of them: of its groups, of its covariates.
        alike: the value when all groups are alike, for measures of how far groups lie apart.
        log_likelihood_ratios: whether it means something only for scores that are log-likelihood ratios.
        symbol: the short name in running text and in the heads of columns; the label where none is given.
    """

    name: str
    label: str
    words: str
    topic: Topic
    kind: Kind
    direction: Direction
    bounds: tuple[float, float]
    counted: Counted
    format: Format = Format.NUMBER
    intervals: tuple[str, ...] = ()
    rate: str = ""
    alike: float | None = None
    log_likelihood_ratios: bool = False
    symbol: str = ""

    @property
    def higher_is_better(self) -> bool | None:
        """Whether a higher value is the better one; None where neither is."""
        return None if self.direction is Direction.NONE else self.direction is Direction.HIGHER

    @property
    def difference_bounds(self) -> tuple[float, float]:
        """The lowest and the highest difference of two values."""
        low, high = self.bounds
        return low - high, high - low

    def allows(self, ci_method: str) -> bool:
        """Tell whether an interval found by a method may stand beside a value; numbers in its name do not matter."""
        return re.sub(r"\d+", "N", ci_method) in self.intervals

    def total(self, *, n_genuine: int | None, n_impostor: int | None, n_images: int | None = None) -> int | None:
        """Return how many comparisons, searches, maps or images a value was counted over."""
        if self.counted is Counted.BOTH:
            return (n_genuine or 0) + (n_impostor or 0) or None
        return {
            Counted.GENUINE: n_genuine,
            Counted.IMPOSTOR: n_impostor,
            Counted.EITHER: n_genuine or n_impostor,
            Counted.IMAGES: n_images,
        }.get(self.counted)

    @property
    def short(self) -> str:
        """The short name."""
        return self.symbol or self.label

    def gain(self, base: float, value: float) -> float | None:
        """Return how much better `value` is than `base`; negative when it is worse, None where neither is better."""
        if self.direction is Direction.NONE:
            return None
        return value - base if self.direction is Direction.HIGHER else base - value

    def sort_key(self, value: float | None) -> tuple[bool, float]:
        """Return a key that sorts the best value first and missing ones last; without a direction the lowest first."""
        known = 0.0 if value is None else value
        return value is None, -known if self.direction is Direction.HIGHER else known


UNIT = (0.0, 1.0)
SIGNED = (-1.0, 1.0)
POSITIVE = (0.0, inf)
FROM_ONE = (1.0, inf)
REAL = (-inf, inf)


def check_metric_contract(definition: object, name: str) -> None:
    """Check the definition of a metric.

    Raises:
        AssertionError: says which rule is broken.
    """
    assert isinstance(definition, MetricDef), f"{name} is {type(definition).__name__}; expected a MetricDef"
    assert definition.name == name, f"{name} is registered under another name than its own, {definition.name}"
    assert definition.label.strip(), f"{name}: `label` must name it"
    assert definition.words.strip(), f"{name}: `words` must say how to read a value"
    low, high = definition.bounds
    assert low < high, f"{name}: bounds {low} to {high} are not rising"
    assert definition.kind is not Kind.RATE or definition.bounds == UNIT, f"{name}: a rate lies in 0 to 1"
    assert definition.alike is None or low <= definition.alike <= high, f"{name}: `alike` lies outside the bounds"
