"""A page for developers: the visitor's session, its cookie in parts, and what sessions cost the app.

::

    from flask_fastsession.inspector import inspector

    app.register_blueprint(inspector)  # at /inspector; url_prefix="/..." puts it elsewhere

It answers in debug mode only, and with status 404 otherwise. It needs no script, and loads nothing from other sites.
:class:`flask_fastsession.inspector.toolbar.SessionPanel` shows the same in Flask-DebugToolbar.
"""

from __future__ import annotations

import secrets

from flask import Blueprint
from flask import Flask
from flask import Response
from flask import abort
from flask import current_app
from flask import g
from flask import request

from .costs import Costs
from .costs import NotMeasured
from .costs import measured
from .page import facts_of
from .page import rendered

__all__ = ["inspector"]

#: The page, for :meth:`flask.Flask.register_blueprint`.
inspector = Blueprint("inspector", __name__, url_prefix="/inspector")


@inspector.before_request
def refuse_without_debug() -> None:
    if not current_app.debug:
        abort(404)


@inspector.get("")
def show() -> Response:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    facts = facts_of(app, request)
    costs: Costs | str | None = None
    if "measure" in request.args:
        try:
            costs = measured(app, request, facts.opened)
        except NotMeasured as reason:
            costs = str(reason)
    nonce = secrets.token_urlsafe(16)
    response = Response(rendered("page.html", facts=facts, costs=costs, nonce=nonce, home=f"{request.root_path}/"))
    # The page shows what scripts of other pages must not read, such as the value of a cookie that is HttpOnly.
    response.headers["Cache-Control"] = "no-store"
    # Flask-DebugToolbar puts scripts and styles of its own into the page, which this policy would block.
    if "debug_toolbar" not in g:
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
        )
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
