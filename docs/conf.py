"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import typing as t
import zlib
from pathlib import Path

from sphinx.addnodes import pending_xref

from flask_fastsession import __version__

if t.TYPE_CHECKING:
    from docutils.nodes import document
    from sphinx.application import Sphinx

HERE = Path(__file__).parent

project = "flask-fastsession"
release = version = __version__
html_show_copyright = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
# The package index shows this page.
exclude_patterns = ["pypi.md"]
nitpicky = True
# Names of types that signatures give in full: a session's data, and whatever names a session.
nitpick_ignore = [("py:class", "AnySession"), ("py:class", "Data")]

# Anchors as code hosts make them, so that links work there as well.
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"flask-fastsession {release}"
pygments_style = "friendly"
pygments_dark_style = "monokai"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# Classes that modules import for type checkers alone.
autodoc_type_aliases = {
    "Flask": "flask.Flask",
    "Request": "flask.Request",
    "Response": "flask.Response",
    "SecureCookieSession": "flask.sessions.SecureCookieSession",
    "SessionMixin": "flask.sessions.SessionMixin",
}


def inventory(project: str) -> str:
    """The list of what a project documents, as far as we refer to it, compressed as Sphinx expects it.

    Lists of our own need no network, and mean the same at each build.
    """
    lines = (HERE / "inventories" / f"{project}.txt").read_bytes().splitlines(keepends=True)
    compressed = HERE.parent / "build" / "inventories" / f"{project}.inv"
    compressed.parent.mkdir(parents=True, exist_ok=True)
    compressed.write_bytes(b"".join(lines[:4]) + zlib.compress(b"".join(lines[4:])))
    return str(compressed)


intersphinx_mapping = {
    "flask": ("https://flask.palletsprojects.com/en/stable", inventory("flask")),
    "itsdangerous": ("https://itsdangerous.palletsprojects.com/en/stable", inventory("itsdangerous")),
    "python": ("https://docs.python.org/3", inventory("python")),
    "werkzeug": ("https://werkzeug.palletsprojects.com/en/stable", inventory("werkzeug")),
}

#: Files that stand beside this folder, and link to each other there, with the pages that include them.
INCLUDED = {
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "LICENSE": "license",
    "SECURITY.md": "security",
}


def lead_to_pages(_app: Sphinx, doctree: document) -> None:
    """Turn links that are right in such a file into those that are right in the page that includes it."""
    for reference in doctree.findall(pending_xref):
        path, _, anchor = reference["reftarget"].partition("#")
        if path in INCLUDED:
            reference.attributes.update(refdomain="doc", reftarget=INCLUDED[path], reftargetid=anchor)


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", lead_to_pages)
