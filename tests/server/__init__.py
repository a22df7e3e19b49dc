"""Server-side sessions: their stores, beside real servers and the real Flask-Session."""
