"""Whose a model name is: `models.json` binds it to weights and to a maintainer, and a person merges every change of it.

Dates decide nothing. The order in the file does: an earlier name is the original of a copy, and of the revisions of one
name the last is ranked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from facebench.errors import InputError
from facebench.files import canonical_json, file_name, read_json, sha256_bytes, write_atomic
from facebench.schema import ModelCard
from facebench.schema.leaderboard import ModelNames, NamedModel, Note, Problem

MODELS = "models.json"
Order = tuple[int, int]


def load_names(root: Path) -> ModelNames:
    """Read the names of a leaderboard; none where the file is missing.

    Raises:
        InputError: the file is malformed, or two names differ in capitals only.
    """
    path = Path(root) / MODELS
    if not path.exists():
        return ModelNames()
    names = ModelNames.parse(read_json(path, "names of models"), where=f"names of models {path}")
    seen: dict[str, str] = {}
    for name in names.models:
        file_name(name, f"{path}: model name")
        if name.lower() in seen:
            raise InputError(f"{path}: {seen[name.lower()]!r} and {name!r} differ in capitals only")
        seen[name.lower()] = name
    return names


def weights_of(card: ModelCard) -> str:
    """Return what a name is bound to: the sha256 of the weights, or of the settings of a model without weights."""
    if card.weights_sha256 is not None:
        return card.weights_sha256
    settings = card.model_dump(mode="json", include={"adapter", "code", "options", "embedding_dim"})
    return f"settings:{sha256_bytes(canonical_json(settings).encode())}"


def order_of(names: ModelNames, name: str, weights: str) -> Order:
    """Return the place of a name in the file and of the weights among its revisions; what is not there comes last."""
    last = len(names.models)
    if name not in names.models:
        return last, 0
    revisions = names.models[name].weights
    revision = revisions.index(weights) if weights in revisions else len(revisions)
    return list(names.models).index(name), revision


def name_problems(name: str, weights: str, names: ModelNames) -> Iterator[Problem]:
    """Say why a name may not stand over these weights, which are as `weights_of` returns them."""
    known = names.models.get(name)
    if known is None:
        like = [other for other in names.models if other.lower() == name.lower()]
        what = f"there is {like[0]!r}, which differs in capitals only" if like else "the name is bound to no weights"
        why = f"{what}; a new name stands in {MODELS} of the same pull request, with its weights and a maintainer"
        yield Problem(field="model.name", why=why)
    elif weights not in known.weights:
        bound = ", ".join(_short(each) for each in known.weights)
        why = (
            f"{_short(weights)}, and {MODELS} binds {name!r} to {bound}; a new revision is one only if its weights "
            f"are added there, which is for the maintainer to ask ({known.maintainer})"
        )
        yield Problem(field="model.weights_sha256", why=why)
    owner = owner_of(weights, names)
    if owner is not None and owner != name and (known is None or known.variant_of != owner):
        why = f"{_short(weights)} are the weights of {owner!r}; a variant says so in {MODELS}: variant_of"
        yield Problem(field="model.weights_sha256", why=why)


def name_notes(name: str, names: ModelNames) -> Iterator[Note]:
    """Say that a name shares its weights with another, which the file admits."""
    known = names.models.get(name)
    if known is not None and known.variant_of is not None:
        yield Note(
            field="model.weights_sha256", why=f"a variant of {known.variant_of}: the same weights, set otherwise"
        )


def owner_of(weights: str, names: ModelNames) -> str | None:
    """Return the earliest name bound to some weights."""
    return next((name for name, model in names.models.items() if weights in model.weights), None)


def bind_name(root: Path, card: ModelCard, maintainer: str | None, *, new_revision: bool) -> None:
    """Bind the name of a model to its weights in the file, where that is not done already.

    Raises:
        InputError: the name is new and no maintainer is given, or it belongs to other weights.
    """
    names, weights = load_names(root), weights_of(card)
    known = names.models.get(card.name)
    if known is not None and weights in known.weights:
        return
    if known is None and maintainer is None:
        raise InputError(
            f"{card.name!r} is new on this leaderboard: say who answers for it, --maintainer 'NAME, ADDRESS'"
        )
    if known is not None and not new_revision:
        (problem, *_) = name_problems(card.name, weights, names)
        raise InputError(f"{problem.field}: {problem.why}; --new-revision adds them")
    if known is None:
        owner = owner_of(weights, names)
        model = NamedModel(maintainer=maintainer or "", weights=(weights,), variant_of=owner)
    else:
        model = known.model_copy(update={"weights": (*known.weights, weights)})
    save_names(root, names.model_copy(update={"models": {**names.models, card.name: model}}))


def save_names(root: Path, names: ModelNames) -> None:
    """Write the file: one line per value, so that a change is plain to whoever reviews it."""
    write_atomic(Path(root) / MODELS, names.model_dump_json(indent=1, exclude_none=True) + "\n")


def _short(weights: str) -> str:
    return weights if len(weights) <= 20 else f"{weights[:20]}…"
