"""Section ``weak_spots``: where errors are most frequent, over attributes and properties of the pictures."""

from facebench.sections.section import Section

SECTION = Section(
    "weak_spots",
    needs_model=False,
    line="Where a model fails: slices with the most errors, found on one half of the people and tested on the other.",
)
