"""Attacks on verification pairs: a probe is changed until its genuine pair is rejected or its impostor pair accepted.

A pair is a two-class problem of one row (`head.PairHead`), so any attack on classifiers runs on a batch of pairs, each
with a template of its own. Importing the package loads no torch; the modules below it do.
"""
