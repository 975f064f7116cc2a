"""What makes the model (pipeline), and what names and moves its versions (versions)."""
