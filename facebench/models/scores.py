"""A model of which only comparison scores are at hand: ``scores:FILE`` in place of a model file."""

from __future__ import annotations

from dataclasses import dataclass

from facebench.data.scores import ScoreTable, read_scores, score_files
from facebench.files import sha256_bytes, sha256_file
from facebench.models.references import file_and_options
from facebench.schema import Comparator, ModelCard

PREFIX = "scores:"


@dataclass(frozen=True, eq=False)
class ScoredModel:
    """Scores of a model, and its card."""

    card: ModelCard
    table: ScoreTable


def is_score_reference(reference: str) -> bool:
    """Whether a reference names a file of scores."""
    return reference.startswith(PREFIX)


def load_scored_model(reference: str) -> ScoredModel:
    """Read ``scores:FILE`` or ``scores:FILE#KEY=VALUE,KEY=VALUE``; the keys are those of `facebench.data.scores`.

    Raises:
        InputError: a key is unknown, or the file does not add up; with file, line and cause.
    """
    path, options = file_and_options(reference, PREFIX)
    table = read_scores(path, options)
    hashes = [sha256_file(file) for file in score_files(path, options)]
    name = path.stem + (f"-{options['column']}" if "column" in options else "")
    card = ModelCard(
        name=name,
        adapter="scores",
        weights_sha256=hashes[0] if len(hashes) == 1 else sha256_bytes("".join(hashes).encode()),
        embedding_dim=0,
        comparator=Comparator.EXTERNAL,
        options={"file": path.name, "found": table.summary(), **options},
    )
    return ScoredModel(card, table)
