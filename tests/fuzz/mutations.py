"""Mutations that know what they change: words and lines of text, values of JSON, bytes and lengths of binary files."""

from __future__ import annotations

import json
import random
import re
from typing import Any

WORDS = (
    "", " ", "nan", "NaN", "inf", "-inf", "1e999", "-1", "0", "1", "9" * 5000, "1_0", "0x1F", "²", "٣", "½",
    "\x00", "\x1b[31m",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "\u202e", "2001-99-99", "!!int abc",
    "!!python/name:os", "&a [*a]",
    "*a", "null", "~", "[]", "{}", '"', "'", ",", ";", "\t", "\n", "..", "../../etc/passwd", "/etc/passwd",
    "/dev/zero", "C:\\x", "a\\b",
    "x" * 5000, "true", "1.5", "1e-400", "1e300", "-0.0", "999999999999999999999", "4294967296", "2147483648",
    "=", "#", "%", "::",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 10**18, 10**30, -(10**300), 0.5, -0.5, 1e300, -1e300, 1e-300, "", "nan",
    "x" * 3000, "\x00",
    "\x1b[31m", "\ud800", "<script>", "../../x", [], {}, [[]], [None], {"a": 1}, [1e300] * 3, [0.0, 0.0], ["", ""],
)  # fmt: skip
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_WORD = re.compile(r"[^\s,:;{}\[\]\"'()|]+")


def mutated(data: bytes, kind: str, seed: int) -> bytes:
    """Return `data` with one to four changes; `kind` is text, json or binary. The same seed gives the same bytes."""
    dice = random.Random(seed)
    change = {"text": _text, "json": _json, "binary": _binary}[kind]
    for _ in range(dice.choice((1, 1, 1, 2, 3, 4))):
        data = _binary(data, dice) if dice.random() < 0.05 else change(data, dice)
    return data


def _text(data: bytes, dice: random.Random) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    if dice.random() < 0.6:
        words = list(_WORD.finditer(text))
        if words:
            word = dice.choice(words)
            new = dice.choice(WORDS) if dice.random() < 0.7 else dice.choice(words)[0]
            text = text[: word.start()] + new + text[word.end() :]
    else:
        lines = text.splitlines(keepends=True)
        if lines:
            place = dice.randrange(len(lines))
            what = dice.randrange(5)
            if what == 0:
                del lines[place]
            elif what == 1:
                lines.insert(place, dice.choice(lines))
            elif what == 2:
                lines[place] = lines[place][: dice.randrange(len(lines[place]) + 1)]
            elif what == 3:
                other = dice.randrange(len(lines))
                lines[place], lines[other] = lines[other], lines[place]
            else:
                lines[place] = lines[place].replace(dice.choice(",: \t"), dice.choice((";", "", ",,", "\t")))
        text = "".join(lines)
    return text.encode("utf-8", "surrogateescape")


def _json(data: bytes, dice: random.Random) -> bytes:
    if dice.random() < 0.1:
        return _text(data, dice)
    try:
        value = json.loads(data)
    except ValueError:
        return _text(data, dice)
    return json.dumps(changed(value, dice)).encode()


def changed(value: Any, dice: random.Random) -> Any:
    """Return JSON data with one value replaced, removed, repeated or renamed."""
    holder, key = _place(value, dice)
    if holder is None:
        return dice.choice(VALUES)
    what = dice.random()
    if what < 0.7:
        holder[key] = dice.choice(VALUES)
    elif what < 0.85:
        del holder[key]
    elif isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[str(key) + "x"] = holder.pop(key)
    return value


def _place(value: Any, dice: random.Random) -> tuple[Any, Any]:
    """Walk down from the top, and stop at a place anywhere on the way."""
    holder = key = None
    while isinstance(value, dict | list) and value:
        holder, key = value, dice.choice(list(value)) if isinstance(value, dict) else dice.randrange(len(value))
        value = holder[key]
        if dice.random() < 0.12:
            break
    return holder, key


def _binary(data: bytes, dice: random.Random) -> bytes:
    if not data:
        return bytes([dice.randrange(256)])
    place = min(dice.randrange(len(data)), dice.randrange(len(data)) if dice.random() < 0.5 else len(data))
    what = dice.randrange(6)
    if what == 0:
        return data[:place]
    if what == 1:
        return data[:place] + bytes([dice.choice(NUMBERS) & 0xFF]) + data[place + 1 :]
    if what == 2:
        size = dice.choice((2, 4, 8))
        return data[:place] + (dice.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, "little") + data[place + size :]
    if what == 3:
        return data[:place] + data[place + dice.randrange(1, 9) :]
    if what == 4:
        return data[:place] + dice.randbytes(dice.randrange(1, 9)) + data[place:]
    return data[:place] + bytes([data[place] ^ (1 << dice.randrange(8))]) + data[place + 1 :]
