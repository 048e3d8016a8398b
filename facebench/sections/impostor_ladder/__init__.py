"""Section ``impostor_ladder``: strangers who become more alike, step by step."""

from facebench.sections.section import Section

SECTION = Section(
    "impostor_ladder",
    needs_model=False,
    takes_scores=True,
    condition_prefix="impostors:",
    line="False match rates of ever more alike impostors, up to look-alikes that a second model chooses.",
)
