"""Section ``judgements``: scores beside what people judged alike."""

from facebench.sections.section import Section

SECTION = Section(
    "judgements",
    needs_model=False,
    condition_prefix="judgements:",
    line="Human judgements of similarity beside the scores.",
)
