"""Revocation of signed cookie sessions: stores, the list of a process, sessions, and workers of a real server."""
