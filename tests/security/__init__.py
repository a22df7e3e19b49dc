"""Forged cookies, keys that must not show, and known answers."""
