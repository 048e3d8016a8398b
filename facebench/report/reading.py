"""Look-ups in a result: which estimate answers which question, and in which order groups are shown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from facebench.metrics.catalogue import Direction, Kind, metric
from facebench.schema import Estimate, Flag, Point, Result

Key = tuple[str, Point | None, str, str | None, str, str, str, int | None]

DEFAULT_TARGET = 1e-3
BLIND = frozenset({Flag.UNRESOLVABLE, Flag.INSUFFICIENT, Flag.NO_GENUINE, Flag.NO_IMPOSTOR, Flag.NO_INTERVAL})


@dataclass(frozen=True)
class Reading:
    """A result with an index over its estimates."""

    result: Result
    _index: dict[Key, Estimate] = field(init=False, default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for e in self.result.estimates:
            key = (e.metric, e.point, e.group, e.group_b, e.condition, e.rule, e.failures, e.k)
            self._index.setdefault(key, e)

    def find(
        self,
        metric: str,
        *,
        target: Point | None = None,
        group: str = "all",
        group_b: str | None = None,
        rule: str = "strict",
        failures: str = "counted",
    ) -> Estimate | None:
        """Return the estimate under the clean condition, or None."""
        return self._index.get((metric, target, group, group_b, "clean", rule, failures, None))

    def cell(self, target: Point, a: str, b: str) -> Estimate | None:
        """Return the FMR between two groups; each unordered pair is stored once, the diagonal as the group's own."""
        if a == b:
            return self.find("fmr", target=target, group=a)
        return self.find("fmr", target=target, group=a, group_b=b) or self.find(
            "fmr", target=target, group=b, group_b=a
        )

    def rate(self, rate: str, group: str, *, failures: str = "counted") -> Estimate | None:
        """Return the FMR or FNMR of a group at the primary operating point."""
        if rate == "fnmr":
            return self.missed(self.primary, group, failures=failures)
        return self.find(rate, target=self.primary, group=group, failures=failures)

    def missed(self, target: Point, group: str, *, rule: str = "strict", failures: str = "counted") -> Estimate | None:
        """Return the FNMR of a group; where only the TAR is stored, its complement."""
        found = self.find("fnmr", target=target, group=group, rule=rule, failures=failures)
        if found:
            return found
        tar = self.find("tar", target=target, group=group, rule=rule, failures=failures)
        return complement(tar) if tar else None

    @cached_property
    def targets(self) -> tuple[Point, ...]:
        """All operating points: FMR targets from the loosest to the strictest, then thresholds by name."""
        found = dict.fromkeys(e.point for e in self.clean() if e.point is not None)
        numbers = sorted((point for point in found if not isinstance(point, str)), reverse=True)
        return (*numbers, *(point for point in found if isinstance(point, str)))

    @property
    def fmr_targets(self) -> tuple[float, ...]:
        """The FMR targets among them."""
        return tuple(point for point in self.targets if not isinstance(point, str))

    @cached_property
    def primary(self) -> Point:
        """The operating point the report leads with: the protocol's, or the nearest that was measured."""
        wanted = self.result.protocol.primary or DEFAULT_TARGET
        if wanted in self.targets or isinstance(wanted, str):
            return wanted
        return min(self.fmr_targets, key=lambda t: abs(math.log(t / wanted)), default=wanted)

    @cached_property
    def expected_fmr(self) -> float | None:
        """The FMR the leading operating point is meant to have: its target, or what its threshold achieved overall."""
        if not isinstance(self.primary, str):
            return self.primary
        found = self.find("fmr", target=self.primary)
        value: float | None = None if found is None else found.value
        return value

    @cached_property
    def groupings(self) -> dict[str, tuple[str, ...]]:
        """Groups by the attributes that define them, both in the order of the result."""
        found: dict[str, dict[str, None]] = {}
        for e in self.clean():
            for group in (e.group, e.group_b):
                if group and "=" in group:
                    found.setdefault(grouping_of(group), {})[group] = None
        return {name: tuple(groups) for name, groups in found.items()}

    def differentials(self, grouping: str) -> list[Estimate]:
        """Return the differential measures of a grouping at the primary operating point."""
        return [
            e for e in self.clean() if e.group == grouping and is_differential(e) and e.point in (None, self.primary)
        ]

    def differential_groupings(self) -> list[str]:
        """Return the groupings that have differential measures, in the order of the result."""
        return list(dict.fromkeys(e.group for e in self.clean() if is_differential(e)))

    def clean(self) -> Iterator[Estimate]:
        """Iterate over the estimates on untouched images."""
        return (e for e in self.result.estimates if e.condition == "clean")

    def seen(self, flag: Flag) -> bool:
        """Tell whether any estimate carries a flag."""
        return any(flag in e.flags for e in self.result.estimates)


def is_differential(estimate: Estimate) -> bool:
    """Tell whether an estimate compares all groups of a grouping (its group is then a list of attributes)."""
    return estimate.group != "all" and "=" not in estimate.group


def grouping_of(group: str) -> str:
    """Return the attributes a group is defined by.

    >>> grouping_of("race=asian&gender=female")
    'race&gender'
    """
    return "&".join(name for name, _ in parts_of(group))


def parts_of(group: str) -> list[tuple[str, str]]:
    """Split a group into attributes and values; an ampersand inside a value stays with it.

    >>> parts_of("job=R&D&gender=female")
    [('job', 'R&D'), ('gender', 'female')]
    """
    parts: list[tuple[str, str]] = []
    for piece in group.split("&"):
        name, equals, value = piece.partition("=")
        if equals or not parts:
            parts.append((name, value))
        else:
            parts[-1] = (parts[-1][0], f"{parts[-1][1]}&{piece}")
    return parts


def short_label(group: str) -> str:
    """Return a group's values without their attributes, for places where the grouping is named beside it.

    >>> short_label("race=asian&gender=female"), short_label("all")
    ('asian, female', 'all')
    """
    return ", ".join(value for _, value in parts_of(group)) if "=" in group else group


def grouping_label(grouping: str) -> str:
    """Return a grouping in words.

    >>> grouping_label("race&gender")
    'race × gender'
    """
    return grouping.replace("&", " × ")


def comparisons(estimate: Estimate) -> int | None:
    """Return how many comparisons a rate was counted over."""
    return metric(estimate.metric).total(
        n_genuine=estimate.n_genuine, n_impostor=estimate.n_impostor, n_images=estimate.n_images
    )


def upper_bound(estimate: Estimate) -> float | None:
    """Return the upper limit of a rate; without any error, the one that assumes nothing of the dependence."""
    return None if estimate.ci_high is None else min(1.0, estimate.ci_high)


def hopeful_bound(estimate: Estimate) -> float | None:
    """Return the upper limit that assumes the pooled design effect, where no error was seen and it says more."""
    if not estimate.bracket or estimate.bracket[0] >= estimate.bracket[1]:
        return None
    return min(1.0, estimate.bracket[0])


def is_bound(estimate: Estimate) -> bool:
    """Tell whether only an upper bound of this rate is known."""
    definition = metric(estimate.metric)
    errors = definition.kind is Kind.RATE and definition.direction is Direction.LOWER
    return errors and estimate.value == 0 and Flag.ZERO_ERRORS in estimate.flags and upper_bound(estimate) is not None


def complement(estimate: Estimate) -> Estimate:
    """Turn a TAR into an FNMR."""

    def flip(x: float | None) -> float | None:
        return None if x is None else 1 - x

    n = estimate.n_genuine
    missed = None if n is None or estimate.value is None else n - round(estimate.value * n)
    changes = {
        "metric": "fnmr",
        "value": flip(estimate.value),
        "ci_low": flip(estimate.ci_high),
        "ci_high": flip(estimate.ci_low),
        "errors": missed,
    }
    return estimate.model_copy(update=changes)
