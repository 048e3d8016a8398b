"""Section ``error_versus_discard``: the FNMR as the poorest comparisons are left out."""

from facebench.sections.section import Section

SECTION = Section(
    "error_versus_discard",
    needs_model=False,
    takes_scores=True,
    condition_prefix="quality:",
    line="Errors left when the comparisons of poorest quality are discarded.",
)
