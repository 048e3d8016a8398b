"""Two or more results beside each other: what may be compared, paired differences, and their page."""
