"""``python -m flask_fastsession``: the commands of ``flask session``, where inspecting a cookie needs no app."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main(prog_name="python -m flask_fastsession")
