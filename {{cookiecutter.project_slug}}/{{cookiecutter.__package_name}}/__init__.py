"""The code of this project. docs/extending.md shows where to add what."""
