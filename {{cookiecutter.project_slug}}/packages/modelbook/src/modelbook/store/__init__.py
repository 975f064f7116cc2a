"""The doors to git and DVC."""
