"""What a protocol asks of search with out-of-distribution probes, and what a run tells of the re-ranking."""

from __future__ import annotations

from pydantic import Field

from facebench.schema._base import Strict
from facebench.schema.attacks import AttackCell, Epsilon
from facebench.schema.robustness import SEVERITIES, Conditions, expand


class RerankSpec(Strict):
    """The first entries of each list are put in order again by another comparator."""

    comparator: str = Field("deepface-emd", description="a registered re-ranking comparator")
    alpha: float = Field(0.7, ge=0, le=1, description="weight of the patch distance; 1 - alpha that of the embedding")
    top_k: int = Field(100, ge=1, le=10_000, description="entries that are put in order again")


class OodAttack(Strict):
    """Adversarial probes: PGD in Linf moves every image away from its person's nearest other picture."""

    eps: Epsilon = Field("4/255", description="largest change of a pixel value")
    steps: int = Field(10, ge=1, le=10_000)

    @property
    def cell(self) -> AttackCell:
        """The attack as a cell of a grid."""
        asked = {"attack": "pgd", "goal": "dodging", "eps": [self.eps], "steps": self.steps, "restarts": 1}
        return AttackCell.parse(asked, where="ood.attack")

    @property
    def condition(self) -> str:
        """The name of the condition, such as ``attack:pgd-linf:4/255:dodging``."""
        return self.cell.condition(self.eps)


class OodSpec(Strict):
    """1:N search: every altered image against all other clean images."""

    conditions: Conditions = Field(min_length=1, description="family, family:name or family:name:level")
    attack: OodAttack | None = Field(None, description="adversarial probes as well; needs the model's gradients")
    rerank: RerankSpec | None = None

    @property
    def expanded(self) -> tuple[str, ...]:
        """Every condition with its level, in the order of the protocol."""
        return expand(self.conditions, SEVERITIES)

    def names(self, *, attacked: bool) -> tuple[str, ...]:
        """Every condition, and the attack where it was, or can be, run."""
        return (*self.expanded, *((self.attack.condition,) if self.attack and attacked else ()))


class OodDetails(Strict):
    """What a run tells of its search besides the estimates."""

    conditions: tuple[str, ...]
    n_queries: int = Field(description="images whose identity has another image")
    n_gallery: int = Field(description="images each query is searched among: all others")
    reranking: str | None = Field(None, description="how the lists were put in order again; null: they were not")
