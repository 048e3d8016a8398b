"""Section ``explanation``: saliency maps beside their nulls, by methods that had to qualify first."""

from facebench.sections.section import Section

SECTION = Section(
    "explanation",
    line="Saliency maps, the controls each method must pass, and how well maps agree with known truth.",
)
