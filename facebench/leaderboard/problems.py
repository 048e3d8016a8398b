"""What can be wrong with an entry, each with the field it is wrong in."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from facebench.errors import ExitCode
from facebench.leaderboard.folder import NAME, Place
from facebench.run.protocols import load_protocol, protocol_names
from facebench.schema import Estimate, Result
from facebench.schema.leaderboard import Board, Problem

SHOWN = 10
RELATIVE, ABSOLUTE = 1e-6, 1e-9  # sums are rounded otherwise on another processor; a count never differs
REPORTED = {"efficiency": "sizes and times", "explanation": "saliency maps", "robustness.attacks": "attacks"}
"""Parts of a result that need the model itself: their numbers rest on what the run reported."""
_MARKUP = re.compile(r"[<>]|javascript:|data:", re.IGNORECASE)
_PINNED_DATA = ("name", "n_images", "n_identities", "attributes", "phantom")


def definition_problems(result: Result, place: Place, board: Board) -> list[Problem]:
    """Return why a result is no entry of this board, whatever its numbers are."""
    return [
        *_names(result, place), *_texts(result), *_limit(result), *_protocol(result, board), *_data(result, board),
        *_pictures(result),
    ]  # fmt: skip


def _names(result: Result, place: Place) -> Iterator[Problem]:
    for field, name, folder in (
        ("model.name", result.model.name, place.model),
        ("protocol.name", result.protocol.name, place.protocol),
    ):
        if not NAME.fullmatch(name):
            yield Problem(field=field, why=f"{name[:80]!r}: use letters, digits, and . _ + - only")
        elif name != folder:
            yield Problem(field=field, why=f"{name!r} lies in the folder of {folder!r}")


def _texts(result: Result) -> Iterator[Problem]:
    """Refuse markup and invisible characters in what the submitter wrote; the site escapes them as well."""
    card = result.model
    texts = {
        "model.adapter": card.adapter, "model.revision": card.revision, "model.licence": card.licence,
        "model.code": card.code or "", "run.command": result.run.command, "run.platform": result.run.platform,
        **{f"model.training_data[{i}]": text for i, text in enumerate(card.training_data)},
        **{f"model.options.{key}": f"{key}{value}" for key, value in card.options.items()},
    }  # fmt: skip
    for field, text in texts.items():
        if _MARKUP.search(text) or any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in text):
            yield Problem(field=field, why=f"{text[:80]!r} holds markup or invisible characters")


def _limit(result: Result) -> Iterator[Problem]:
    if result.run.limit is not None:
        yield Problem(
            field="run.limit", why=f"only {result.run.limit:,} images were asked for; a limited run never ranks"
        )


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
