"""Section ``robustness``: verification again on altered and attacked probes."""

from facebench.sections.section import Section

SECTION = Section(
    "robustness",
    condition_prefix="attack:",
    line="Verification again under altered probe images and under attacks, at the clean thresholds.",
)
