"""What can be wrong with an entry, each with the field it is wrong in."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from facebench.errors import ExitCode, InputError
from facebench.files import file_name
from facebench.leaderboard.folder import Place, kept
from facebench.measure.saved import EMBEDDINGS, SCORES
from facebench.run.protocols import load_protocol, protocol_names
from facebench.schema import Estimate, Result
from facebench.schema.leaderboard import Board, Note, Problem

SHOWN = 10
RELATIVE, ABSOLUTE = 1e-6, 1e-9  # sums are rounded otherwise on another processor; a count never differs
REPORTED = {"efficiency": "sizes and times", "explanation": "saliency maps", "robustness.attacks": "attacks"}
"""Parts of a result that need the model itself: their numbers rest on what the run reported."""
MAX_TEXT, MAX_DIM, MAX_SEED = 2_000, 65_536, 2**63 - 1
_MARKUP = re.compile(r"[<>]|javascript:|data:", re.IGNORECASE)
_PINNED_DATA = ("name", "n_images", "n_identities", "attributes", "phantom")
_WRITTEN = ("model", "run", "failures", "efficiency")
"""Parts that hold a submitter's own words: no markup there. Other parts are computed again, or escaped where shown."""


def definition_problems(result: Result, place: Place, board: Board) -> list[Problem]:
    """Return why a result is no entry of this board, whatever its numbers are."""
    return [
        *_names(result, place), *_texts(result), *_run(result), *_artifacts(result), *_protocol(result, board),
        *_data(result, board), *_pictures(result),
    ]  # fmt: skip


def _names(result: Result, place: Place) -> Iterator[Problem]:
    for field, name, folder in (
        ("model.name", result.model.name, place.model),
        ("protocol.name", result.protocol.name, place.protocol),
    ):
        try:
            file_name(name, field)
        except InputError as error:
            yield Problem(field=field, why=str(error))
            continue
        if name != folder:
            yield Problem(field=field, why=f"{name!r} lies in the folder of {folder!r}")


def _texts(result: Result) -> Iterator[Problem]:
    """Refuse invisible characters and endless texts everywhere, and markup in what the submitter wrote."""
    body = result.model_dump(mode="python", exclude={"protocol", "estimates", "curves"})
    for field, text in _strings(body, ""):
        if len(text) > MAX_TEXT:
            yield Problem(field=field, why=f"a text of {len(text):,} characters; {MAX_TEXT:,} are enough")
        elif any(
            unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in text if not c.isascii() or c < " " or c == "\x7f"
        ):
            yield Problem(field=field, why=f"{text[:80]!r} holds invisible characters")
        elif field.startswith(_WRITTEN) and _MARKUP.search(text):
            yield Problem(field=field, why=f"{text[:80]!r} holds markup")


def _strings(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """Yield every text in nested records with its place; a key is a text too."""
    if isinstance(value, str):
        yield field, str(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            place = f"{field}.{str(key)[:80]}".removeprefix(".")
            yield place, str(key)
            yield from _strings(item, place)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _strings(item, f"{field}[{i}]")


def _run(result: Result) -> Iterator[Problem]:
    run = result.run
    if run.limit is not None:
        yield Problem(field="run.limit", why=f"only {run.limit:,} images were asked for; a limited run never ranks")
    if not 0 <= run.seed <= MAX_SEED:
        yield Problem(field="run.seed", why=f"{_short(run.seed)} is no seed: a whole number from 0 on")
    for field, least in (("batch_size", 1), ("embedded_images", 0), ("wall_s", 0)):
        if getattr(run, field) < least:
            yield Problem(field=f"run.{field}", why=f"{_short(getattr(run, field))} is below {least}")
    if _date(run.started) is None:
        yield Problem(field="run.started", why=f"{run.started[:80]!r} is no date and time in UTC")
    if not 0 <= result.model.embedding_dim <= MAX_DIM:
        yield Problem(field="model.embedding_dim", why=f"{_short(result.model.embedding_dim)} is beyond {MAX_DIM:,}")


def _date(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def date_notes(result: Result) -> Iterator[Note]:
    """Mark a date that has not come yet; dates decide nothing."""
    started = _date(result.run.started)
    if started is not None and started > datetime.now(UTC) + timedelta(days=1):
        why = f"{result.run.started} had not come when this was checked; dates decide nothing here"
        yield Note(field="run.started", why=why)


def _artifacts(result: Result) -> Iterator[Problem]:
    """Refuse files whose path leads anywhere but beside the entry, or which are named twice."""
    counts = Counter(artifact.path for artifact in result.artifacts)
    wanted = {"embeddings": EMBEDDINGS, "scores": SCORES}
    for i, artifact in enumerate(result.artifacts):
        field = f"artifacts[{i}].path"
        try:
            file_name(artifact.path, "the path")
        except InputError as error:
            yield Problem(field=field, why=str(error))
            continue
        if artifact.path != wanted.get(artifact.kind, artifact.path) or (
            artifact.kind == "section" and not artifact.path.endswith(".safetensors")
        ):
            yield Problem(field=field, why=f"{artifact.path!r} is not how a run calls its file of {artifact.kind}")
        elif counts[artifact.path] > 1:
            yield Problem(field=field, why=f"{artifact.path!r} is named {counts[artifact.path]} times")
    if sum(artifact.kind in wanted for artifact in kept(result)) != 1:
        yield Problem(field="artifacts", why="one file of embeddings, or one of scores, is named by an entry")


def failure_problems(result: Result, ids: tuple[str, ...], failed: set[str]) -> Iterator[Problem]:
    """Compare the failures an entry states with the images that have no embedding."""
    if len(failed) != result.data.n_failed:
        why = f"{result.data.n_failed:,} are stated, {len(failed):,} embeddings are missing"
        yield Problem(field="data.n_failed", why=why)
    named = {failure.image_id for failure in result.failures} & set(ids)
    if named != failed:
        some = sorted(named ^ failed)[0]
        why = f"{len(named):,} failed images are named, {len(failed):,} embeddings are missing; they differ in {some!r}"
        yield Problem(field="failures", why=why)


def _protocol(result: Result, board: Board) -> Iterator[Problem]:
    code = ExitCode.NOT_COMPARABLE
    found, wanted = result.protocol.model_dump(), board.protocol.model_dump()
    for field, value in found.items():
        if value != wanted[field]:
            why = f"{_short(value)}, and this leaderboard is of {_short(wanted[field])}"
            yield Problem(field=f"protocol.{field}", why=why, exit_code=code)
    if result.protocol.name in protocol_names():
        shipped = load_protocol(result.protocol.name).sha256
        if result.protocol.sha256 != shipped:
            why = f"{_short(result.protocol.sha256)}, and the shipped protocol of this name is {_short(shipped)}"
            yield Problem(field="protocol.sha256", why=why, exit_code=code)


def _data(result: Result, board: Board) -> Iterator[Problem]:
    for field in _PINNED_DATA:
        found, wanted = getattr(result.data, field), getattr(board.data, field)
        if found != wanted:
            why = f"{_short(found)}, and this leaderboard is of {_short(wanted)}"
            yield Problem(field=f"data.{field}", why=why, exit_code=ExitCode.NOT_COMPARABLE)
    for artifact in result.artifacts:
        if artifact.kind == "images" and artifact.sha256 != board.images_sha256:
            why = "the image ids, identities or attributes are not those of this leaderboard"
            yield Problem(field="artifacts[images].sha256", why=why, exit_code=ExitCode.NOT_COMPARABLE)


def _pictures(result: Result) -> Iterator[Problem]:
    robustness, explanation = result.robustness, result.explanation
    why = "pictures cannot be computed again; `facebench leaderboard add` leaves them out"
    if robustness is not None and robustness.examples:
        yield Problem(field="robustness.examples", why=why)
    attacks = None if robustness is None else robustness.attacks
    if attacks is not None and any(cell.picture is not None for cell in attacks.cells):
        yield Problem(field="robustness.attacks.cells.picture", why=why)
    if explanation is not None and explanation.gallery:
        yield Problem(field="explanation.gallery", why=why)


def number_problems(stored: Result, fresh: Result) -> list[Problem]:
    """Return where recomputed numbers differ from those an entry states, the first ten by name."""
    found = list(unequal_estimates(stored.estimates, fresh.estimates))
    for field in ("curves", "unmeasured", "impostor_ladder", "causal", "ood", "robustness", "explanation"):
        a, b = _plain(getattr(stored, field)), _plain(getattr(fresh, field))
        if field in ("robustness", "explanation") and a is not None and b is not None:
            a, b = _without(a), _without(b)
        found += [
            Problem(field=f"{field}{place}", why=f"stated {_short(x)}, recomputed {_short(y)}")
            for place, x, y in _unequal(a, b)
        ]
    if len(found) <= SHOWN:
        return found
    more = Problem(field="estimates", why=f"{len(found) - SHOWN:,} more numbers differ from the recomputed ones")
    return [*found[:SHOWN], more]


def _without(details: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an entry must not hold and what says nothing of the model."""
    return {key: value for key, value in details.items() if key not in ("examples", "gallery", "attacks")}


def unequal_estimates(stored: tuple[Estimate, ...], fresh: tuple[Estimate, ...]) -> Iterator[Problem]:
    """Yield where recomputed estimates differ by more than rounding: counts at all, other figures by 1e-6."""
    if len(stored) != len(fresh):
        yield Problem(field="estimates", why=f"{len(stored):,} are stated, {len(fresh):,} were recomputed")
    for i, (a, b) in enumerate(zip(stored, fresh, strict=False)):
        if a == b:
            continue
        for place, x, y in _unequal(_plain(a), _plain(b)):
            at = "" if a.point is None else f" at {a.point}"
            what = f"{a.metric} of {a.group}{at}, {a.condition}"
            why = f"{what[:160]}: stated {_short(x)}, recomputed {_short(y)}"
            yield Problem(field=f"estimates[{i}]{place}", why=why)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _unequal(a: Any, b: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the path and both values wherever two nested records differ by more than rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {**a, **b}:
            yield from _unequal(a.get(key), b.get(key), f"{place}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _unequal(x, y, f"{place}[{i}]")
    elif isinstance(a, float) and isinstance(b, float):
        if not math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            yield place, a, b
    elif a != b:
        yield place, a, b


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return f"{text[:12]}…" if len(text) == 64 else text[:80]


def reported_parts(result: Result) -> tuple[str, ...]:
    """Return the parts of a result that cannot be computed again without the model."""
    held = {
        "efficiency": result.efficiency is not None,
        "explanation": result.explanation is not None,
        "robustness.attacks": result.robustness is not None and result.robustness.attacks is not None,
    }
    return tuple(REPORTED[name] for name, present in held.items() if present)
