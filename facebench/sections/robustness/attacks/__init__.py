"""Attacks as part of a run: draw pairs, attack them, judge the 8-bit images at the clean threshold."""
