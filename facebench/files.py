"""Files: atomic writes, hashes, strict YAML and JSON, and where FaceBench's own data files lie."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from facebench.errors import InputError, WriteError

_PACKAGE = Path(__file__).resolve().parent
_FILE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.+-]{0,118}[A-Za-z0-9_+-])?")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def asset_dir(kind: str) -> Path:
    """Return the folder of shipped files of one kind: ``protocols``, ``reports`` or ``leaderboard``.

    In a wheel they lie inside the package (``facebench/_assets``); in a checkout at the top of the repository.
    """
    for candidate in (_PACKAGE / "_assets" / kind, _PACKAGE.parent / kind):
        if candidate.is_dir():
            return candidate
    raise InputError(f"the installation lacks its {kind!r} files; reinstall facebench")


def cache_dir() -> Path:
    """Return the folder for work that may be reused: ``$FACEBENCH_CACHE``, else ``~/.cache/facebench``."""
    chosen = os.environ.get("FACEBENCH_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facebench"


def file_name(name: str, what: str) -> str:
    """Return a name from outside if it may become the name of a file or folder: the one place where that is decided.

    Letters, digits and ``. _ + -``, at most 120, starting with a letter or digit, not ending in a dot, and no device
    of Windows: such a name leads nowhere, needs no quoting, and is one file on every system.

    Raises:
        InputError: names `what` and the rule.

    >>> file_name("phantom-arcface", "model.name")
    'phantom-arcface'
    """
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name) or _DEVICES.fullmatch(name):
        raise InputError(
            f"{what} {str(name)[:80]!r}: use letters, digits, and . _ + - only, a letter or digit first, at most 120"
        )
    return name


def write_atomic(path: Path, write: bytes | str | Callable[[BinaryIO], None]) -> None:
    """Write a file so that readers see all of it or none of it, also after a crash.

    `write` is the content, or a function that writes it to an open binary file. The content goes to a temporary
    file in the same folder, is flushed to disk, and then takes the name.

    Raises:
        WriteError: the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as stream:
            if callable(write):
                write(stream)
            else:
                stream.write(write.encode() if isinstance(write, str) else write)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        _discard(temporary)
        raise WriteError(explain_write_failure(path, error)) from error
    except BaseException:
        _discard(temporary)
        raise


def explain_write_failure(path: Path, error: OSError) -> str:
    """Say in one sentence why a write failed and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left while writing {path}: free some space and run again; finished work is kept"
    return f"cannot write {path}: {error.strerror or error}; choose another folder or mend its permissions"


def _discard(temporary: str) -> None:
    if temporary:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of some bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys, no spaces and no NaN: equal values give equal bytes.

    >>> canonical_json({"b": 1, "a": [0.1]})
    '{"a":[0.1],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def read_bytes(path: Path, what: str) -> bytes:
    """Read a file the user named, with an error that says what it was meant to be."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{what} not found: {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {what} {path}: {error.strerror}") from error


def read_text(path: Path, what: str) -> str:
    """Read a UTF-8 text file the user named."""
    try:
        return read_bytes(path, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def read_yaml(path: Path, what: str) -> Any:
    """Parse a YAML file safely; a key given twice is an error, not a silent override."""
    return parse_yaml(read_text(path, what), f"{what} {path}")


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML text; see `read_yaml`. `where` names the text in errors."""
    import yaml

    class StrictLoader(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool):
                raise InputError(f"{where}, line {key_node.start_mark.line + 1}: keys must be plain words")
            if key in seen:
                raise InputError(f"{where}, line {key_node.start_mark.line + 1}: key {key!r} is given twice")
            seen.add(key)
        loader.flatten_mapping(node)
        return loader.construct_mapping(node, deep=True)

    StrictLoader.add_constructor("tag:yaml.org,2002:map", mapping)
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None


def read_json(path: Path, what: str) -> Any:
    """Parse a JSON file; NaN, Infinity and a key given twice are errors."""
    text = read_text(path, what)

    def refuse(token: str) -> float:
        raise InputError(f"{what} {path}: {token} is not JSON; a missing number is null")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise InputError(f"{what} {path}: a key is given twice in one object")
        return value

    try:
        return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InputError(f"{what} {path}, line {error.lineno}: not valid JSON: {error.msg}") from error
    except RecursionError:
        raise InputError(f"{what} {path}: nested too deeply") from None
