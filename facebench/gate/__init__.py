"""The gate: may the candidate replace the base, under a policy, on the same comparisons?"""

from facebench.gate.check import check_gate
from facebench.gate.policy import load_policy

__all__ = ["check_gate", "load_policy"]
