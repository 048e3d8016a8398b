"""1:N search from listed scores: where the mate of each query stands among the templates it was compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facebench.measure.identification import ClosedSet, closed_estimates, cmc_curves, held_out, open_estimates
from facebench.measure.sample import Images, Scored
from facebench.metrics.identification import mate_ranks
from facebench.schema import Curve, Estimate, ProtocolSpec, Unmeasured
from facebench.schema.identification import IdentificationSpec
from facebench.scoring.search import Searches

WHAT = "rank-k identification"
UNASKED = IdentificationSpec(ranks=(1, 5, 10), cmc=20)
"""What is given of a file of searches under a protocol that does not speak of them."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def searched_scores(
    spec: ProtocolSpec, images: Images, scored: Scored
) -> tuple[list[Estimate], list[Curve], list[Unmeasured]]:
    """Return rank-k, FNIR and the CMC curve where the roles of the samples say what was searched for in what."""
    if images.roles is None:
        why = "the file of scores does not say what was searched for in what"
        wanted = spec.identification is not None and images.identities is not None
        return [], [], [Unmeasured(what=WHAT, why=why)] if wanted else []
    asked = spec.identification or UNASKED
    people, probes, scores = _table(images, scored)
    partial = int(np.isnan(scores).any(axis=1).sum())
    if partial:
        why = f"{partial:,} of {probes.size:,} queries were not compared with every template, so they have no rank"
        return [], [], [Unmeasured(what=WHAT, why=why)]
    identity = images.identity[probes]
    place = np.minimum(np.searchsorted(people, identity), people.size - 1)
    enrolled = people[place] == identity
    ranks = mate_ranks(scores[enrolled], place[enrolled])
    closed = ClosedSet(ranks, identity[enrolled], people.size, people.size)
    confidence = spec.uncertainty.confidence
    estimates = closed_estimates(closed, asked, confidence)
    if asked.open_set is not None:
        gallery = np.flatnonzero(np.array(images.roles, object) == "gallery")
        strangers = held_out(images, gallery, asked.open_set.hold_out)
        found, known = _without(scores, people, place, enrolled, strangers)
        estimates += open_estimates(found, known, identity, asked.open_set, confidence)
    return estimates, cmc_curves(closed, asked), []


def _table(images: Images, scored: Scored) -> tuple[Rows, Rows, Floats]:
    """Return the people of the gallery, the probes, and (probes, people) the best score with a template of each."""
    roles = np.array(images.roles, object)
    people = np.unique(images.identity[roles == "gallery"])
    probes = np.flatnonzero(roles == "probe")
    row = np.full(roles.size, -1)
    row[probes] = np.arange(probes.size)
    table = np.full((probes.size, people.size), np.nan)
    for scores, ends in (
        (scored.scores.genuine, scored.scores.genuine_ends), (scored.scores.impostor, scored.scores.impostor_ends),
    ):  # fmt: skip
        columns = np.searchsorted(people, images.identity[ends[:, 0]])
        np.fmax.at(table, (row[ends[:, 1]], columns), scores)
    return people, probes, table


def _without(
    scores: Floats, people: Rows, place: Rows, enrolled: NDArray[np.bool_], strangers: Rows
) -> tuple[Searches, NDArray[np.bool_]]:
    """Return the searches in the gallery without some people, and which have a mate there."""
    kept = ~np.isin(people, strangers)
    known = enrolled & kept[place]
    mate = np.where(known, scores[np.arange(place.size), place], -np.inf)
    column = np.cumsum(kept) - 1
    rank = np.zeros(place.size, np.int64)
    rank[known] = mate_ranks(scores[known][:, kept], column[place[known]])
    return Searches(rank, mate.astype(np.float32), scores[:, kept].max(axis=1).astype(np.float32)), known
