"""Experiments will live here: declared, seeded runs over `sim`."""
