"""What a terminal gets to see: control characters are written out, and only FaceBench writes to standard output."""

from __future__ import annotations

import ctypes
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

_KEPT = "\n\t"
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (reading direction among them), surrogates, line separators


def written_out(text: str) -> str:
    r"""Return a text with each control character as ``\\u`` and four digits, which JSON reads as that character.

    >>> print(written_out("a\x1b[31mb\u202ec"))
    a\u001b[31mb\u202ec
    """
    if text.isprintable():
        return text
    return "".join(_escape(character) for character in text.replace("\r\n", "\n").replace("\r", "\n"))


def _escape(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class VisibleStream:
    """A text stream in front of another: what is written through it holds no control characters.

    Attributes:
        raw: the stream behind.
    """

    def __init__(self, stream: Any) -> None:
        self.raw = stream

    def write(self, text: str) -> int:
        """Write a text; its control characters are written out."""
        if not isinstance(text, str):
            raise TypeError(f"text is written here, not {type(text).__name__}")
        shown = written_out(text)
        try:
            self.raw.write(shown)
        except UnicodeEncodeError as error:  # a stream of ASCII only
            self.raw.write(shown.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def drawn_on(stream: Any) -> Any:
    """Return the stream on which a progress bar may draw: its control characters are meant."""
    return stream.raw if isinstance(stream, VisibleStream) else stream


@contextmanager
def visible_streams() -> Iterator[None]:
    """Put a `VisibleStream` in front of standard output and standard error."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, VisibleStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def prints_aside() -> Iterator[None]:
    """Send what others print to standard error: models, plug-ins, and native libraries with C's own functions.

    Standard output is FaceBench's, whose JSON must stay JSON whatever a model says while it works.
    """
    output, error = sys.stdout, sys.stderr
    output.flush()
    kept = _swap_output()
    sys.stdout = sys.stderr = cast(TextIO, VisibleStream(error))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = output, error
        _flush_native()
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def leave_output() -> None:
    """Flush standard output, and send what is still printed while the process ends to standard error."""
    sys.stdout.flush()
    with suppress(OSError):
        os.dup2(2, 1)


def _swap_output() -> int | None:
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # closed: nothing can be printed there
        return None
    return kept


def _flush_native() -> None:
    """Write out what C's own print functions hold back, while it still goes to standard error."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)
