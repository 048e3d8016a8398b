"""Protocol files: found by name among the shipped ones, or by path; datasets bound to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facebench.data import OWN_PAIRS, OWN_TEMPLATE_PAIRS, Dataset, PairList, load_dataset
from facebench.errors import InputError, UnknownNameError
from facebench.files import asset_dir, canonical_json, read_yaml, sha256_bytes
from facebench.schema import ComparisonKind, ProtocolRef, ProtocolSpec
from facebench.schema.identity import identity


@dataclass(frozen=True)
class Protocol:
    """A parsed protocol and where it came from."""

    spec: ProtocolSpec
    folder: Path

    @property
    def sha256(self) -> str:
        """The sha256 of what the protocol asks for; layout and comments of the file do not count.

        Keys without a value are left out, and of keys that came later their defaults, so that a new optional key
        changes no existing protocol (`facebench.schema.identity`). Of a threshold
        from a development set the set and the FMR count, not the value that one model got there.
        """
        asked = identity(self.spec)
        for point in asked.get("operating_points", ()):
            if isinstance(point.get("threshold"), dict):
                for key in ("source", "value", "result_id", "weights_sha256"):
                    point["threshold"].pop(key, None)
        return sha256_bytes(canonical_json(asked).encode())


def reference(spec: ProtocolSpec, sha256: str, manifest_sha256: str) -> ProtocolRef:
    """Return what a result says of its protocol."""
    return ProtocolRef(
        name=spec.name, title=spec.title, version=spec.version, sha256=sha256, manifest_sha256=manifest_sha256,
        primary_fmr_target=spec.primary_fmr_target, primary_operating_point=spec.primary_operating_point,
        description=spec.description.strip(), data_statement=spec.data_statement.strip(), source=spec.source,
        licence=spec.licence,
        known_defects=spec.known_defects, threshold_policy=spec.threshold_policy,
        confidence=spec.uncertainty.confidence,
    )  # fmt: skip


def protocol_names() -> list[str]:
    """Return the names of the shipped protocols."""
    return sorted(path.stem for path in asset_dir("protocols").glob("*.yaml"))


def load_protocol(reference: str | Path) -> Protocol:
    """Load a protocol by the name of a shipped one or by the path of a YAML file.

    Raises:
        UnknownNameError: neither; the message lists the shipped names.
        InputError: a key or value in the file is wrong.
    """
    path = Path(reference)
    if path.suffix not in (".yaml", ".yml"):
        if str(reference) not in protocol_names():
            raise UnknownNameError("protocol", str(reference), protocol_names())
        path = asset_dir("protocols") / f"{reference}.yaml"
    from facebench.run.thresholds import with_development

    spec = ProtocolSpec.parse(read_yaml(path, "protocol"), where=f"protocol {path}")
    return Protocol(with_development(spec, path.parent), path.parent)


def bind_dataset(protocol: Protocol, data: Mapping[str, Path]) -> Dataset:
    """Return the dataset of a protocol: from ``--data NAME=PATH``, else from the protocol's own path.

    Raises:
        InputError: no dataset is bound, a name is not the protocol's, or the counts differ from those promised.
    """
    wanted = protocol.spec.dataset
    for name in data:
        if name != wanted.name:
            raise UnknownNameError("dataset name", name, [wanted.name], where=f"protocol {protocol.spec.name}")
    path = data.get(wanted.name)
    if path is None:
        if wanted.path is None:
            raise InputError(
                f"protocol {protocol.spec.name} needs a dataset; say --data {wanted.name}=PATH "
                "(a folder with manifest.csv, or any format `facebench data check` reads)"
            )
        path = _own_path(wanted.path, protocol.folder)
    kind = protocol.spec.comparisons.kind
    own = {ComparisonKind.PAIR_LIST: OWN_PAIRS, ComparisonKind.TEMPLATE_PAIRS: OWN_TEMPLATE_PAIRS}.get(kind)
    dataset = load_dataset(Path(path), wanted.name, protocol.spec.comparisons.pairs or own)
    listed = dataset.template_pairs if kind is ComparisonKind.TEMPLATE_PAIRS else dataset.pairs
    if own and listed is None:
        raise InputError(f"protocol {protocol.spec.name} compares a pair list, but {path} has none")
    if wanted.n_images is not None and len(dataset.images) != wanted.n_images:
        raise InputError(
            f"protocol {protocol.spec.name} promises {wanted.n_images:,} images, {path} holds {len(dataset.images):,}"
        )
    _check_pairs(protocol, listed, Path(path))
    return dataset


def _own_path(path: str, folder: Path) -> Path:
    if path.startswith("builtin:"):
        from facebench.phantoms.shipped import shipped_dataset

        return shipped_dataset(path.removeprefix("builtin:"))
    return folder / path


def _check_pairs(protocol: Protocol, pairs: PairList | None, path: Path) -> None:
    wanted = protocol.spec.dataset
    if pairs is None:
        return
    found = {"genuine": int(pairs.genuine.sum()), "impostor": int((~pairs.genuine).sum())}
    for kind, promised in (("genuine", wanted.n_genuine), ("impostor", wanted.n_impostor)):
        if promised is not None and found[kind] != promised:
            raise InputError(
                f"protocol {protocol.spec.name} promises {promised:,} {kind} pairs, {path} lists {found[kind]:,}"
            )
