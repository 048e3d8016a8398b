"""What a model costs: size, multiply-adds, latency, throughput and memory, and the machine they were measured on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from facebench.files import canonical_json, sha256_bytes
from facebench.schema._base import Strict

FRUITS_LIMITS_MS = (100, 500, 1000)


class EfficiencySpec(Strict):
    """How the cost of a model is measured."""

    batch_sizes: tuple[Annotated[int, Field(gt=0, le=1024)], ...] = (1, 8, 32)
    threads: int = Field(1, ge=1, le=1024, description="of the network; FRUITS classes are defined for one thread")
    warmup: int = Field(3, ge=1, description="calls that are not timed, per batch size")
    repeats: int = Field(30, ge=10, le=10_000, description="timed calls per batch size")
    memory: bool = Field(True, description="measure peak memory in a process of its own")


class Machine(Strict):
    """Where times were taken; times of different machines are never compared."""

    cpu: str
    logical_cpus: int
    memory_gib: float
    system: str
    device: str = Field(description="as given to the run: cpu, cuda")
    accelerator: str | None = None
    packages: dict[str, str] = Field(description="versions of what runs the network")

    @property
    def fingerprint(self) -> str:
        """Return the sha256 that names the machine and the software that ran the network."""
        return sha256_bytes(canonical_json(self.model_dump(mode="json")).encode())


class Timing(Strict):
    """Times of one batch size. A call takes faces as uint8 images and returns embeddings: preprocessing included."""

    batch_size: int
    repeats: int
    median_ms: float = Field(description="per call")
    p95_ms: float
    ci_low_ms: float = Field(description="of the median, from order statistics: no assumption on the shape")
    ci_high_ms: float
    images_per_s: float = Field(description="batch_size / median")
    noise: float = Field(description="1.4826 times the median absolute deviation, over the median")
    drift: float = Field(description="median of the second half of the calls over that of the first half, minus 1")


class Memory(Strict):
    """Resident memory of a fresh process, MiB."""

    batch_size: int
    before_mib: float = Field(description="after the imports, before the model is loaded")
    loaded_mib: float
    peak_mib: float


class Efficiency(Strict):
    """The cost of a model. Measured values are kept as they were: they cannot be recomputed without the model."""

    parameters: int | None = Field(description="elements of all weight tensors")
    size_bytes: int | None = Field(description="of the weights file")
    multiply_adds: int | None = Field(description="of one face, in convolutions and matrix products")
    counted_by: str | None = Field(None, description="how multiply-adds were counted")
    not_counted: dict[str, int] = Field(
        default_factory=dict, description="operators without multiply-adds, and how many"
    )
    threads: int
    threads_set: bool = Field(description="whether the adapter let the number of threads be set")
    machine: Machine
    machine_fingerprint: str
    timings: tuple[Timing, ...]
    memory: Memory | None = None
    fruits: str | None = Field(
        None, description="FRUITS-100, -500 or -1000 by the embedding alone at batch 1 and one thread; null: not known"
    )
    noisy: bool = Field(description="times scatter by more than a tenth, or drift by more than a tenth")
