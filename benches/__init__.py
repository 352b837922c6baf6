"""Benchmarks: what is promised about speed is measured here, beside its limit, in one run."""
