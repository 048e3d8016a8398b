"""Files: atomic writes, hashes, strict YAML and JSON, and where FaceBench's own data files lie."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from facebench.errors import InputError, WriteError

MAX_BYTES = 4 * 2**30  # of any one file that is read whole
MAX_JSON_BYTES = 2**28
MAX_YAML_BYTES = 2**18  # written by hand: protocols, models, policies
MAX_YAML_NODES = 100_000
_MAX_DIGITS = 400  # more than the largest float has
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
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


def release_pages(array: Any) -> None:
    """Let the system take back the pages of a file that is mapped into memory as an array, read only.

    They are read again when they are needed. It does nothing to other arrays.
    """
    import mmap

    readable = False
    while array is not None:
        if isinstance(array, mmap.mmap):
            if readable and hasattr(array, "madvise"):  # Windows has none
                array.madvise(mmap.MADV_DONTNEED)
            return
        mode = getattr(array, "mode", None)  # of a `numpy.memmap`; other arrays have none
        if mode not in (None, "r"):
            return
        readable = readable or mode == "r"
        array = getattr(array, "base", None)


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
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def read_bytes(path: Path, what: str, limit: int = MAX_BYTES) -> bytes:
    """Read a file the user named, with an error that says what it was meant to be.

    Raises:
        InputError: it is missing, unreadable, no regular file (a pipe or a device would never end), or has more than
            `limit` bytes; the size is looked at before anything is read.
    """
    check_file(path, what, limit)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {what} {printable(path)}: {error.strerror}") from error


def check_file(path: Path, what: str, limit: int = MAX_BYTES) -> int:
    """Return the size in bytes of a regular file that may be read; see `read_bytes`."""
    try:
        facts = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{what} not found: {printable(path)}") from None
    except OSError as error:
        raise InputError(f"cannot read {what} {printable(path)}: {error.strerror}") from error
    except ValueError:
        raise InputError(f"{what} not found: {printable(path)} is no path") from None
    if stat.S_ISDIR(facts.st_mode):
        raise InputError(f"cannot read {what} {printable(path)}: it is a folder")
    if not stat.S_ISREG(facts.st_mode):
        raise InputError(f"cannot read {what} {printable(path)}: it is no regular file but a pipe or a device")
    if facts.st_size > limit:
        raise InputError(
            f"{what} {printable(path)} has {facts.st_size:,} bytes, more than the {limit:,} such a file may have"
        )
    return facts.st_size


def is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder; unlike `Path.is_dir` it never raises on an over-long path."""
    return exists(path) and Path(path).is_dir()


def is_file(path: Path) -> bool:
    """Return whether a path is that of a regular file; it never raises on an over-long path."""
    return exists(path) and Path(path).is_file()


def exists(path: Path) -> bool:
    """Return whether there is something under a path; one that no file system can hold is no error but absent."""
    try:
        Path(path).stat()
    except (OSError, ValueError):
        return False
    return True


def printable(path: Path | str, limit: int = 300) -> str:
    """Return a path as text for people: control characters are made visible, and an endless name is cut."""
    text = str(path)
    if not text.isprintable():
        text = repr(text)[1:-1]
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def read_text(path: Path, what: str, limit: int = MAX_BYTES) -> str:
    """Read a UTF-8 text file the user named."""
    try:
        return read_bytes(path, what, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{what} {printable(path)} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error


def read_yaml(path: Path, what: str) -> Any:
    """Parse a YAML file safely; a key given twice is an error, not a silent override."""
    return parse_yaml(read_text(path, what, MAX_YAML_BYTES), f"{what} {path}")


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML text; see `read_yaml`. `where` names the text in errors.

    Raises:
        InputError: not YAML, a key given twice, a value that is not what it looks like (`2001-99-99`), or anchors that
            unfold to more than any file needs.
    """
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

    def scalar(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        try:
            return yaml.SafeLoader.yaml_constructors[node.tag](loader, node)
        except (ValueError, TypeError, KeyError, OverflowError, IndexError):
            raise InputError(
                f"{where}, line {node.start_mark.line + 1}: {node.value!r:.60} is no {node.tag.rpartition(':')[2]}; "
                "put text in quotes"
            ) from None

    StrictLoader.add_constructor("tag:yaml.org,2002:map", mapping)
    for kind in ("bool", "int", "float", "timestamp", "binary"):
        StrictLoader.add_constructor(f"tag:yaml.org,2002:{kind}", scalar)
    try:
        loader = StrictLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_unfolded(node, where)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None
    except (ValueError, TypeError, AttributeError) as error:  # constructors of YAML's own sets, pairs and merges
        raise InputError(f"{where}: not valid YAML: {error}") from None


def _check_unfolded(node: Any, where: str) -> None:
    """Refuse anchors that unfold to more than MAX_YAML_NODES values, or that hold themselves."""
    sizes: dict[int, int | None] = {}

    def size(node: Any) -> int:
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                raise InputError(f"{where}, line {node.start_mark.line + 1}: the anchored value holds itself")
            return known
        sizes[id(node)] = None
        children = node.value if isinstance(node.value, list) else []
        total = 1 + sum(sum(map(size, child)) if isinstance(child, tuple) else size(child) for child in children)
        sizes[id(node)] = total
        return total

    if size(node) > MAX_YAML_NODES:
        raise InputError(f"{where}: its anchors (& and *) unfold to {size(node):,} values; write it out")


def read_json(path: Path, what: str) -> Any:
    """Parse a JSON file; see `parse_json`."""
    return parse_json(read_text(path, what, MAX_JSON_BYTES), f"{what} {printable(path)}")


def parse_json(text: str | bytes, where: str) -> Any:
    """Parse JSON text; `where` names it in errors.

    Raises:
        InputError: not JSON in UTF-8, NaN, infinity, a number of endless digits or beyond the range of floats, a key
            given twice, half of a surrogate pair, or nested too deeply.
    """

    def refuse(token: str) -> float:
        raise InputError(f"{where}: {token} is not JSON; a missing number is null")

    def number(token: str) -> float:
        value = float(token)
        if not math.isfinite(value):
            raise InputError(f"{where}: the number {token:.40} is too large")
        return value

    def whole(token: str) -> int:
        if len(token) > _MAX_DIGITS:
            raise InputError(f"{where}: the number {token[:20]}… has {len(token):,} digits")
        return int(token)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise InputError(f"{where}: a key is given twice in one object")
        return value

    try:
        plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = json.loads(plain, parse_constant=refuse, parse_float=number, parse_int=whole, object_pairs_hook=unique)
        if _SURROGATE.search(plain):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InputError(f"{where}, line {error.lineno}: not valid JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except UnicodeEncodeError:
        raise InputError(
            f"{where}: holds half of a surrogate pair (\\ud800 to \\udfff), which is no character"
        ) from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None
    return value
