"""A panel for Flask-DebugToolbar, with what the inspector shows of the session and its cookie.

::

    app.config["DEBUG_TB_PANELS"] = [
        "flask_debugtoolbar.panels.timer.TimerDebugPanel",
        "flask_fastsession.inspector.toolbar.SessionPanel",
    ]
    toolbar = DebugToolbarExtension(app)

It measures nothing. Where the app has the inspector's page, the panel links to it.
"""

from __future__ import annotations

from flask import Flask
from flask import current_app
from flask import request
from flask import url_for
from flask_debugtoolbar.panels import DebugPanel

from .page import Facts
from .page import facts_of
from .page import rendered

__all__ = ["SessionPanel"]


class SessionPanel(DebugPanel):
    """The session as the view left it, and the cookie that the request brought.

    A panel of its own for :class:`flask_debugtoolbar.DebugToolbarExtension`. Like the toolbar's panel of request
    variables, it looks at the session of every request, and so responses vary by the cookie.
    """

    name = "Session"
    has_content = True

    def nav_title(self) -> str:
        return "Session"

    def nav_subtitle(self) -> str:
        size = self._facts().size
        return f"{size} bytes" if size else "no cookie"

    def title(self) -> str:
        return "Session"

    def url(self) -> str:
        return ""

    def content(self) -> str:
        page = url_for("inspector.show") if "inspector.show" in current_app.view_functions else None
        return rendered("panel.html", facts=self._facts(), page=page)

    def _facts(self) -> Facts:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        return facts_of(app, request)
