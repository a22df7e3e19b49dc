"""Stock and ours over random sessions, tokens and requests."""
