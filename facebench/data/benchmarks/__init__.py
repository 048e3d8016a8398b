"""Readers of published benchmarks in the layouts they are distributed in."""
