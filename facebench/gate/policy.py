"""Policy files."""

from __future__ import annotations

from pathlib import Path

from facebench.errors import UnknownNameError
from facebench.files import asset_dir, canonical_json, read_yaml, sha256_bytes
from facebench.schema import Policy

FOLDER = "policies"


def load_policy(reference: str | Path) -> Policy:
    """Load a policy by the name of a shipped one or by the path of a YAML file.

    Raises:
        UnknownNameError: no shipped policy has that name.
        InputError: the file is missing, or a key or value in it is wrong.
    """
    path = Path(reference)
    if path.suffix not in (".yaml", ".yml"):
        if str(reference) not in policy_names():
            raise UnknownNameError("policy", str(reference), policy_names())
        path = asset_dir("protocols") / FOLDER / f"{reference}.yaml"
    return Policy.parse(read_yaml(path, "policy"), where=f"policy {path}")


def policy_names() -> list[str]:
    """Return the names of the shipped policies."""
    return sorted(path.stem for path in (asset_dir("protocols") / FOLDER).glob("*.yaml"))


def policy_sha256(policy: Policy) -> str:
    """Return the sha256 of what a policy asks for; layout and comments of the file do not count."""
    return sha256_bytes(canonical_json(policy.model_dump(mode="json", exclude_none=True)).encode())
