"""The `etp` command: one module per sub-command."""
