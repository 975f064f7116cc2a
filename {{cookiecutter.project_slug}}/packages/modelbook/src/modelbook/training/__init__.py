"""What the stages of a pipeline run."""
