"""An entry among the others: the same result, the same revision, or the same vectors under another name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facebench.errors import InputError
from facebench.leaderboard.fingerprint import Fingerprint, load_fingerprint, same_vectors
from facebench.leaderboard.folder import Place, entries_of
from facebench.leaderboard.names import Order, order_of
from facebench.schema.leaderboard import ModelNames, Note, Problem


@dataclass(frozen=True, eq=False)
class Known:
    """An entry with what it is known by; None when its file of fingerprints cannot be read."""

    place: Place
    fingerprint: Fingerprint | None

    def order(self, names: ModelNames) -> Order:
        """Return its place among the names: an original comes before its copies."""
        weights = "" if self.fingerprint is None else self.fingerprint.weights
        return order_of(names, self.place.model, weights)


def known_entries(root: Path) -> list[Known]:
    """Return every entry of a leaderboard with its fingerprint."""
    return [known(place) for place in entries_of(root)]


def known(place: Place) -> Known:
    """Return an entry with its fingerprint."""
    try:
        return Known(place, load_fingerprint(place.fingerprint))
    except InputError:
        return Known(place, None)


def copy_findings(place: Place, entries: Sequence[Known], names: ModelNames) -> Iterator[Problem | Note]:
    """Yield which other entries this one repeats; a copy names its original, which is the earlier name.

    The name of a variant may share its vectors with the model it says it is a variant of: that is a note.
    """
    own = known(place)
    for other in entries:
        if other.place.path.resolve() == place.path.resolve():
            continue
        if other.place.result_id == place.result_id:
            yield Problem(field="result_id", why=f"a duplicate of {other.place.relative}")
        elif other.place.protocol == place.protocol and own.fingerprint is not None and other.fingerprint is not None:
            yield from _compared(own, own.fingerprint, other, other.fingerprint, names)


def _compared(
    own: Known, mine: Fingerprint, other: Known, theirs: Fingerprint, names: ModelNames
) -> Iterator[Problem | Note]:
    model = own.place.model
    if other.place.model == model and theirs.weights == mine.weights:
        why = f"these weights are entered under this name already: {other.place.relative}; a revision has one entry"
        yield Problem(field="model.weights_sha256", why=why)
        return
    if not same_vectors(mine, theirs) or other.order(names) > own.order(names):
        return
    if mine.contents == theirs.contents:
        field, why = "artifacts[embeddings].sha256", f"the embeddings are those of {other.place.relative}"
    else:
        field = "artifacts[embeddings]"
        why = f"the vectors are those of {other.place.relative} up to scale, rotation or order"
    known_as = names.models.get(model)
    declared = known_as is not None and known_as.variant_of == other.place.model
    yield Note(field=field, why=f"{why}, of which it is a variant") if declared else Problem(field=field, why=why)
