"""Section ``covariates``: how the odds of an error change with continuous covariates."""

from facebench.sections.section import Section

SECTION = Section(
    "covariates",
    needs_model=False,
    takes_scores=True,
    has_report=False,
    line="Errors regressed on numeric columns of the manifest: odds ratios per step.",
)
