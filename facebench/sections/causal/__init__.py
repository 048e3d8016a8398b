"""Section ``causal``: one attribute of the probe changes, all else stays."""

from facebench.sections.section import Section

SECTION = Section("causal", needs_model=False, condition_prefix="causal:")
