"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import re
import typing as t
import zlib
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.addnodes import pending_xref

from flask_fastsession import __version__

if t.TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.builders.html import StandaloneHTMLBuilder

HERE = Path(__file__).parent
CONTRACT = HERE.parent / "tests" / "contract"

project = "flask-fastsession"
release = version = __version__
html_show_copyright = False

extensions = ["myst_parser", "notfound.extension", "sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx_copybutton"]
# The package index shows this page.
exclude_patterns = ["pypi.md"]
nitpicky = True
# Names of types that signatures give in full: a session's data, and whatever names a session.
nitpick_ignore = [("py:class", "AnySession"), ("py:class", "Data")]

# Anchors as code hosts make them, so that links work there as well.
myst_heading_anchors = 4
myst_enable_extensions = ["tasklist"]

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["pages.css"]

# Commands are copied without the prompt, and without what they print.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

# The page for addresses that do not exist is shown at any depth, so its links start at the root of the site.
notfound_urls_prefix = "/"
notfound_context = {
    "title": "Page not found",
    "body": '<h1>Page not found</h1><p>Search for what you need, or go to <a href="/">the first page</a>.</p>',
}
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
    "DESIGN.md": "design",
    "LICENSE": "license",
    "SECURITY.md": "security",
}


def lead_to_pages(_app: Sphinx, doctree: nodes.document) -> None:
    """Turn links that are right in such a file into those that are right in the page that includes it."""
    for reference in doctree.findall(pending_xref):
        path, _, anchor = reference["reftarget"].partition("#")
        if path in INCLUDED:
            reference.attributes.update(refdomain="doc", reftarget=INCLUDED[path], reftargetid=anchor)


def put_charts_into_the_page(app: Sphinx, doctree: nodes.document, _docname: str) -> None:
    """Replace pictures of charts by the charts themselves: in a picture they cannot know the theme of the page."""
    if app.builder.format == "html":
        for image in list(doctree.findall(nodes.image)):
            if image["uri"].endswith(".svg"):
                svg = (HERE / image["uri"]).read_text(encoding="utf-8")
                image.replace_self(nodes.raw("", svg, format="html"))


#: A test as docs/compatibility.md names it, and the file of one.
NAMED_TEST = re.compile(r"(contract/\w+)\.py::(\w+)")
TEST_FILE = re.compile(r"\.\./tests/(contract/\w+)\.py")


def link_contract_tests(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link tests and their files to the pages that `pages_of_contract_tests` makes of them."""
    if app.builder.format != "html":
        return
    for node in [*doctree.findall(nodes.literal), *doctree.findall(download_reference)]:
        target = node.get("reftarget")
        found = TEST_FILE.fullmatch(target) if target else NAMED_TEST.fullmatch(node.astext())
        if found is not None:
            page = app.builder.get_relative_uri(docname, found[1])
            uri = page if target else f"{page}#{found[2]}"
            content = node.children if target else [node.deepcopy()]
            node.replace_self(nodes.reference("", "", *content, refuri=uri, internal=True))


def pages_of_contract_tests(app: Sphinx) -> Iterator[tuple[str, dict[str, t.Any], str]]:
    """Show the source of each contract test on a page of the site, with an anchor at each test."""
    highlighter = t.cast("StandaloneHTMLBuilder", app.builder).highlighter
    for path in sorted(CONTRACT.glob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        shown = highlighter.highlight_block(source, "python").split("\n")
        for number, line in enumerate(source.split("\n")):
            if name := re.match(r"def (test_\w+)", line):
                shown[number] = f'<span id="{name[1]}"></span>{shown[number]}'
        title = f"tests/contract/{path.name}"
        body = f"<h1>{title}</h1>\n" + "\n".join(shown)
        yield f"contract/{path.stem}", {"title": title, "body": body}, "page.html"


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", lead_to_pages)
    app.connect("doctree-resolved", put_charts_into_the_page)
    app.connect("doctree-resolved", link_contract_tests)
    app.connect("html-collect-pages", pages_of_contract_tests)
