"""Section ``causal``: one attribute of the probe changes, all else stays."""

from facebench.sections.section import Section

SECTION = Section(
    "causal",
    needs_model=False,
    condition_prefix="causal:",
    line="Counterfactual images: how much errors and scores change when one attribute of a face is edited.",
)
