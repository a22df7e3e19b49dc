"""Flask's sessions, nearly free: the same cookies, signed and decoded in Rust."""

from ._native import __version__
from .interface import FastSession
from .interface import FastSessionInterface

__all__ = ["FastSession", "FastSessionInterface", "__version__"]
