"""Looks a dataset over before it is trusted: what it holds, what is broken, and which numbers it can support."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from facebench.data.dataset import Dataset, dataset_sha256, left_out_words
from facebench.data.decode import Pixels
from facebench.data.left_out import groups_of_equals
from facebench.data.pairs import repeated_pairs
from facebench.data.parallel import Progress, iter_images
from facebench.files import sha256_bytes
from facebench.schema import Failure

MAX_GROUPS = 50  # a text column with more values is no grouping
FEW_NUMBERS = 10  # a numeric column with as few values is probably codes for groups
RULE_OF_30 = 30  # errors needed for a rate known within 30 % at 90 % confidence (Porter 1997)


@dataclass(frozen=True)
class GroupCounts:
    """The comparisons inside one group: both images belong to it."""

    group: str  # "all", or attribute=value
    n_images: int
    n_identities: int | None  # None when identities are unknown
    n_genuine: int
    n_impostor: int

    @property
    def false_accepts(self) -> int:
        """False accepts an FMR of 1e-3 allows here; below 1 that FMR cannot be measured."""
        return self.n_impostor // 1000


@dataclass(frozen=True)
class DatasetReport:
    """What `check_dataset` found; `problems` make numbers wrong or impossible, `warnings` need a look."""

    name: str
    summary: str
    sha256: str
    phantom: bool
    n_images: int
    n_identities: int | None
    comparisons: str  # "pair list" or "all against all"; what the groups count
    n_pairs: int | None  # None without a pair list
    n_folds: int | None
    groups: tuple[GroupCounts, ...]  # "all" first
    attributes: Mapping[str, Mapping[str, int]]  # images per value of each text column; "" counts empty cells
    ranges: Mapping[str, tuple[float, float]]  # least and greatest value of each numeric column
    sizes: Mapping[str, int]  # images per "width x height", most frequent first
    failures: tuple[Failure, ...]
    duplicates_across: tuple[tuple[str, ...], ...]  # ids of images of equal pixels and different identities
    duplicates_within: tuple[tuple[str, ...], ...]  # the same within one identity, or when identities are unknown
    single_image_identities: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def check_dataset(dataset: Dataset, workers: int, progress: Progress | None = None) -> DatasetReport:
    """Read and decode every image, count what can be compared, and list what is wrong or doubtful."""
    hashes, contents, sizes, failures = _read_all(dataset, workers, progress)
    across, within = groups_of_equals(dataset, contents)
    groups = tuple(_groups(dataset))
    singles = _single_images(dataset)
    problems = [*_failure_texts(failures), *_comparison_problems(groups[0])]
    warnings = [
        *map(left_out_words, dataset.left_out),
        *_duplicate_warnings(dataset, across, within),
        *_pair_warnings(dataset),
        *_attribute_warnings(dataset),
        *_count_warnings(groups, singles),
    ]
    return DatasetReport(
        name=dataset.name,
        summary=dataset.summary(),
        sha256=dataset_sha256(dataset, hashes),
        phantom=dataset.phantom,
        n_images=len(dataset),
        n_identities=groups[0].n_identities,
        comparisons="all against all" if dataset.pairs is None else "pair list",
        n_pairs=None if dataset.pairs is None else len(dataset.pairs),
        n_folds=None if dataset.pairs is None else dataset.pairs.n_folds,
        groups=groups,
        attributes={name: Counter(value or "" for value in values) for name, values in _text_columns(dataset).items()},
        ranges={name: (min(values), max(values)) for name, values in _number_columns(dataset).items()},
        sizes=dict(sizes.most_common()),
        failures=failures,
        duplicates_across=across,
        duplicates_within=within,
        single_image_identities=singles,
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def _read_all(
    dataset: Dataset, workers: int, progress: Progress | None
) -> tuple[list[str | Failure], list[str | None], Counter[str], tuple[Failure, ...]]:
    """Return what names the bytes of each image, what names its pixels or else its bytes, the sizes and failures."""
    hashes: list[str | Failure] = []
    contents: list[str | None] = []
    sizes: Counter[str] = Counter()
    failures = []
    for image in iter_images(dataset, range(len(dataset)), workers=workers):
        if image.failure is not None:
            failures.append(image.failure)
        if image.pixels is not None:
            height, width = image.pixels.shape[:2]
            sizes[f"{width} x {height}"] += 1
        hashes.append(image.sha256 or failures[-1])
        contents.append(image.sha256 if image.pixels is None else pixels_sha256(image.pixels))
        if progress is not None:
            progress(len(hashes), len(dataset))
    return hashes, contents, sizes, tuple(failures)


def pixels_sha256(pixels: Pixels) -> str:
    """Return what names a picture, however its file is encoded."""
    return sha256_bytes(str(pixels.shape).encode() + pixels.tobytes())


def _groups(dataset: Dataset) -> Iterator[GroupCounts]:
    """Yield the counts of all images, then of each value of each text column."""
    codes = None
    if dataset.identities is not None:
        codes = np.unique(np.asarray(dataset.identities), return_inverse=True)[1].astype(np.int64)
    yield _counts(dataset, codes, "all", np.ones(len(dataset), np.bool_))
    for name, values in _text_columns(dataset).items():
        present = sorted({value for value in values if value})
        if len(present) <= MAX_GROUPS:
            for value in present:
                members = np.fromiter((other == value for other in values), np.bool_, len(values))
                yield _counts(dataset, codes, f"{name}={value}", members)


def _counts(dataset: Dataset, codes: NDArray[np.int64] | None, group: str, members: NDArray[np.bool_]) -> GroupCounts:
    n_images = int(members.sum())
    per_identity = np.zeros(0, np.int64) if codes is None else np.bincount(codes[members])
    genuine = impostor = 0
    if dataset.pairs is not None:
        inside = members[dataset.pairs.a] & members[dataset.pairs.b]
        genuine = int((dataset.pairs.genuine & inside).sum())
        impostor = int(inside.sum()) - genuine
    elif dataset.template_pairs is not None:
        template = dataset.templates()[1]
        first = np.unique(template[template >= 0], return_index=True)[1]
        known = members[np.flatnonzero(template >= 0)[first]]
        inside = known[dataset.template_pairs.a] & known[dataset.template_pairs.b]
        genuine = int((dataset.template_pairs.genuine & inside).sum())
        impostor = int(inside.sum()) - genuine
    elif codes is not None:
        genuine = int((per_identity * (per_identity - 1) // 2).sum())
        impostor = n_images * (n_images - 1) // 2 - genuine
    n_identities = None if codes is None else int((per_identity > 0).sum())
    return GroupCounts(group, n_images, n_identities, genuine, impostor)


def _text_columns(dataset: Dataset) -> dict[str, list[str | None]]:
    return {
        name: [None if value is None else str(value) for value in values]
        for name, values in dataset.attributes.items()
        if not any(isinstance(value, float) for value in values)
    }


def _number_columns(dataset: Dataset) -> dict[str, list[float]]:
    columns = {
        name: [value for value in values if isinstance(value, float)] for name, values in dataset.attributes.items()
    }
    return {name: values for name, values in columns.items() if values}


def _single_images(dataset: Dataset) -> tuple[str, ...]:
    counts = Counter(dataset.identities or ())
    return tuple(identity for identity, count in counts.items() if count == 1)


def _failure_texts(failures: tuple[Failure, ...]) -> Iterator[str]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for failure in failures:
        reasons[failure.reason].append(failure.image_id)
    for reason, ids in reasons.items():
        yield f"{len(ids):,} images cannot be used ({_some(ids)}): {reason}"


def _comparison_problems(all_images: GroupCounts) -> Iterator[str]:
    if all_images.n_identities is None and not all_images.n_genuine + all_images.n_impostor:
        yield "no comparison is possible: there are neither identities nor a pair list; add the column identity"
    elif not all_images.n_impostor:
        yield "no impostor comparison is possible, so no threshold can be set: it needs images of two identities"


def _duplicate_warnings(
    dataset: Dataset, across: tuple[tuple[str, ...], ...], within: tuple[tuple[str, ...], ...]
) -> Iterator[str]:
    if across:
        yield (
            f"label conflict: {len(across):,} images stand under different identities, with the same pixels "
            f"({_some(map(' = '.join, across))}); they score as perfect impostors"
        )
    if within and dataset.identities is not None:
        yield (
            f"duplicates: {len(within):,} images stand several times under one identity "
            f"({_some(map(' = '.join, within))}); "
            "comparing an image with itself makes genuine scores too good"
        )


def _pair_warnings(dataset: Dataset) -> Iterator[str]:
    if dataset.pairs is None:
        return
    again = repeated_pairs(dataset.pairs.a, dataset.pairs.b)
    if len(again):
        rows = [f"{dataset.image_ids[dataset.pairs.a[r]]} - {dataset.image_ids[dataset.pairs.b[r]]}" for r in again[:5]]
        yield f"{len(again):,} pairs of the list repeat an earlier one ({_some(rows, len(again))})"
    unused = len(dataset) - len(np.union1d(dataset.pairs.a, dataset.pairs.b))
    if unused:
        yield f"{unused:,} images are in no pair of the list"


def _attribute_warnings(dataset: Dataset) -> Iterator[str]:
    for name, texts in _text_columns(dataset).items():
        filled = {value for value in texts if value}
        if len(filled) > MAX_GROUPS:
            yield f"attribute {name!r} has {len(filled):,} different values, too many for groups; it is not broken down"
        empty = texts.count(None)
        if empty:
            yield f"attribute {name!r} is empty for {empty:,} images; they belong to none of its groups"
        yield from _conflicts(dataset, name, texts)
    for name, numbers in _number_columns(dataset).items():
        distinct = sorted(set(numbers))
        if len(distinct) <= FEW_NUMBERS:
            shown = ", ".join(f"{value:g}" for value in distinct)
            yield f"attribute {name!r} holds only the numbers {shown}; if they stand for groups, write words instead"


def _conflicts(dataset: Dataset, name: str, values: list[str | None]) -> Iterator[str]:
    """Warn when images of one identity have different values."""
    if dataset.identities is None:
        return
    seen: dict[str, set[str]] = defaultdict(set)
    for identity, value in zip(dataset.identities, values, strict=True):
        if value:
            seen[identity].add(value)
    torn = [f"{identity}: {' and '.join(sorted(found))}" for identity, found in seen.items() if len(found) > 1]
    if torn:
        yield f"{len(torn):,} identities have more than one {name} ({_some(torn)})"


def _count_warnings(groups: tuple[GroupCounts, ...], singles: tuple[str, ...]) -> Iterator[str]:
    if groups[0].n_impostor and not groups[0].n_genuine:
        yield "no genuine comparison is possible: FNMR and TAR cannot be measured, only FMR"
    elif singles:
        yield f"{len(singles):,} identities have one image ({_some(singles)}); they serve as impostors only"
    short = [group for group in groups if group.n_impostor and group.false_accepts < RULE_OF_30]
    if short:
        shown = [f"{group.group}: {group.false_accepts} of {group.n_impostor:,}" for group in short]
        yield (
            f"an FMR of 1e-3 rests on fewer than {RULE_OF_30} false accepts in {len(short):,} groups "
            f"({_some(shown)}); such rates are uncertain"
        )


def _some(items: Iterable[str], count: int | None = None, limit: int = 5) -> str:
    """Return the first few items, and how many more there are."""
    listed = list(items)
    more = (count or len(listed)) - limit
    return ", ".join(islice(listed, limit)) + (f" and {more:,} more" if more > 0 else "")
