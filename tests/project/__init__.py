"""The repository itself: its docs, examples, workflows and packaging."""
