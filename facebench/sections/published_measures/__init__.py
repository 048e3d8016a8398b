"""Section ``published_measures``: measures kept for comparison with published tables."""

from facebench.sections.section import Section

SECTION = Section(
    "published_measures",
    needs_model=False,
    takes_scores=True,
    has_report=False,
    line="Measures of published tables, kept for comparison with them.",
)
