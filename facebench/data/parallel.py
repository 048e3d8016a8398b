"""Reads, hashes and decodes many images in threads: in order, with bounded memory, failures recorded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

from facebench.data.aligned import AlignedSources
from facebench.data.dataset import Dataset
from facebench.data.decode import Pixels, decode
from facebench.data.left_out import stored_in
from facebench.data.sources import FileSource, ImageError, ImageSource
from facebench.files import sha256_bytes
from facebench.schema import Failure

Progress = Callable[[int, int], None]  # done, total
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """What became of one image: `pixels` or a `failure`; neither when only the hash was wanted."""

    index: int
    sha256: str | None  # of the encoded bytes; None when they could not be read
    pixels: Pixels | None  # (H, W, 3) uint8 RGB
    failure: Failure | None


def iter_images(
    dataset: Dataset,
    indices: Iterable[int],
    *,
    workers: int,
    want: Callable[[int, str], bool] | None = None,
    prefetch: int = 32,
) -> Iterator[LoadedImage]:
    """Yield images in the order asked for, reading at most `prefetch` of them ahead.

    `want(index, sha256)`, if given, says whether the pixels are needed, for example because no embedding is cached
    yet; it is called in worker threads. A missing, unreadable or empty file fails at stage ``read``, one that is no
    valid image at ``decode``.
    """
    groups = ([index] for index in indices)
    for group in _in_order(groups, lambda index: _load(dataset, index, want), workers, prefetch):
        yield from group


def hash_images(dataset: Dataset, workers: int) -> list[str | Failure]:
    """Return the sha256 of each image's encoded bytes, or why it cannot be read; nothing is decoded."""
    loaded = iter_images(dataset, range(len(dataset)), workers=workers, want=_never)
    return [image.failure or str(image.sha256) for image in loaded]


def hash_present_images(dataset: Dataset, workers: int) -> list[str | None]:
    """Return the sha256 of each image's encoded bytes, None where it cannot be read.

    For embeddings made elsewhere, whose images often are not there at all: where their folder is missing or empty, they
    are not looked for one by one.
    """
    empty: dict[str, bool] = {}

    def absent(image: ImageSource) -> bool:
        source = stored_in(image)
        if not isinstance(source, FileSource):
            return False
        folder = source.path.rpartition("/")[0]
        if folder not in empty:
            empty[folder] = _is_empty(folder)
        return empty[folder]

    found: list[str | None] = [None] * len(dataset)
    images = dataset.images
    if isinstance(images, AlignedSources) and all(map(absent, images.one_per_folder())):
        return found
    rows = (index for index in range(len(dataset)) if not absent(images[index]))
    for image in iter_images(dataset, rows, workers=workers, want=_never):
        found[image.index] = image.sha256
    return found


def _is_empty(folder: str) -> bool:
    try:
        with os.scandir(folder or ".") as entries:
            return next(entries, None) is None
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # each image says what is wrong
        return False


def decode_batches(
    dataset: Dataset, batches: Iterable[Sequence[int]], workers: int, prefetch: int = 4
) -> Iterator[list[Pixels | Failure]]:
    """Yield the pixels, (H, W, 3) uint8 RGB, or failures of each batch of indices, reading `prefetch` batches ahead."""

    def load(index: int) -> Pixels | Failure:
        image = _load(dataset, index, None)
        if image.failure is not None:
            return image.failure
        assert image.pixels is not None
        return image.pixels

    return _in_order(batches, load, workers, prefetch)


def _in_order(groups: Iterable[Sequence[int]], load: Callable[[int], T], workers: int, ahead: int) -> Iterator[list[T]]:
    """Yield what `load` makes of each group, in order, with at most `ahead` groups in work or waiting."""
    pending: deque[list[Future[T]]] = deque()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            for group in groups:
                pending.append([pool.submit(load, index) for index in group])
                if len(pending) >= ahead:
                    yield [future.result() for future in pending.popleft()]
            while pending:
                yield [future.result() for future in pending.popleft()]
        finally:  # the caller stopped early, or an error: do not work on what nobody will read
            for future in (future for futures in pending for future in futures):
                future.cancel()


def _never(index: int, sha256: str) -> bool:  # noqa: ARG001
    return False


def _load(dataset: Dataset, index: int, want: Callable[[int, str], bool] | None) -> LoadedImage:
    def failed(stage: Literal["read", "decode"], error: ImageError, sha256: str | None) -> LoadedImage:
        failure = Failure(image_id=dataset.image_ids[index], stage=stage, reason=str(error))
        return LoadedImage(index, sha256, None, failure)

    try:
        data = dataset.images[index].read()
        if not data:
            raise ImageError("the file is empty (0 bytes)")
    except ImageError as error:
        return failed("read", error, None)
    sha256 = sha256_bytes(data)
    if want is not None and not want(index, sha256):
        return LoadedImage(index, sha256, None, None)
    try:
        return LoadedImage(index, sha256, decode(data), None)
    except ImageError as error:
        return failed("decode", error, sha256)
