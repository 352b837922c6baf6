"""Runs experiments and writes their results: processes, files, progress."""
