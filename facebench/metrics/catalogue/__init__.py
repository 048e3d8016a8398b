"""The catalogue of metrics: direction, bounds, kind, name, words and format of everything an estimate can hold.

Whatever asks whether higher is better, what range a value may take, what it is called, how it is written or what it was
counted over asks here. A name that is not in the catalogue is an error, never a default.

Pure data: nothing is imported but the exception tree and the registry, so that every room may read it.
"""

from __future__ import annotations

from facebench.errors import InputError, did_you_mean
from facebench.metrics.catalogue import answers, differentials, explanations, sections, verification
from facebench.metrics.catalogue.definition import Counted, Direction, Format, Kind, MetricDef, Topic
from facebench.registry import Registry

__all__ = [
    "METRICS",
    "Counted",
    "Direction",
    "Format",
    "Kind",
    "MetricDef",
    "Topic",
    "known",
    "metric",
    "names",
    "register",
]

_BUILT_IN = (
    *verification.METRICS,
    *sections.METRICS,
    *differentials.METRICS,
    *explanations.METRICS,
    *answers.METRICS,
    *answers.GAPS,
    answers.LOSS,
)
METRICS: Registry[MetricDef] = Registry(
    "metric",
    builtin={definition.name: definition for definition in _BUILT_IN},
    group="facebench.metrics",
    page="metrics.md",
    contract="facebench.metrics.catalogue.definition:check_metric_contract",
    about=lambda _, definition: definition.words or definition.label,
    facts=lambda definition: {
        "direction": definition.direction.value,
        "kind": definition.kind.value,
        "bounds": list(definition.bounds),
    },
)


def metric(name: str, *, where: str = "") -> MetricDef:
    """Return the definition of a metric.

    Args:
        name: as in the field `metric` of an estimate.
        where: what asked for it, for the message.

    Raises:
        InputError: nobody defined such a metric.

    >>> metric("tar").direction, metric("fmr_gap").bounds
    (<Direction.HIGHER: 'higher'>, (0.0, 1.0))
    """
    if not known(name):
        place = f" in {where}" if where else ""
        raise InputError(
            f"unknown metric {name!r}{place}.{did_you_mean(name, names())} docs/metrics.md lists all names; a plug-in "
            "adds its own by the entry point facebench.metrics."
        )
    return METRICS.get(name)


def known(name: str) -> bool:
    """Tell whether a metric is defined."""
    return name in METRICS


def names() -> list[str]:
    """Return the names of all metrics, sorted."""
    return METRICS.names()


def register(definition: MetricDef) -> None:
    """Add the definition of a metric of a plug-in; a name in use is an error, never an override."""
    METRICS.register(definition.name, definition)
