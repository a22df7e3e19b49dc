"""The command ``flask session``, and the inspector's page."""
