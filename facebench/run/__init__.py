"""Runs: bind data to a protocol, embed, evaluate, plan, rescore, calibrate; and the report of a result."""
