"""Do intervals hold the truth as often as they promise? See `python -m benchmarks.coverage_study -h`."""
