"""The `model` command."""
