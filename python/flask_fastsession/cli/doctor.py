"""``flask session doctor``: examine the sessions of an app."""

from __future__ import annotations

import click
from flask import Flask

from . import by_app
from . import cookies
from .app import is_class
from .app import name_of_cookie
from .app import with_any_app
from .by_app import has_own_way
from .by_app import kind_of
from .checks import Finding
from .checks import check_attributes
from .checks import check_encryption
from .checks import check_interface
from .checks import check_keys
from .checks import check_limit
from .checks import check_name
from .checks import check_options
from .checks import check_overrides
from .checks import check_record
from .checks import check_run
from .checks import check_size
from .checks import check_verdict
from .checks import findings_of
from .checks import warning
from .config_checks import check_effect
from .config_checks import check_lifetime
from .config_checks import check_outages
from .config_checks import check_refreshing
from .errors import CookieCommand
from .text import COLOURS
from .text import as_json
from .text import echo
from .text import echo_json
from .text import echo_table
from .text import heading
from .text import read_cookie
from .text import without_log_of
from .trial import Run
from .trial import Stage
from .trial import try_out
from .trial import why


@click.command(cls=CookieCommand)
@click.argument("cookie", required=False)
@as_json
@click.pass_context
@with_any_app
def doctor(app: Flask, context: click.Context, cookie: str | None, as_json: bool) -> None:
    """Examine the sessions of the app.

    Says which stages run natively and why others do not, by saving and opening sessions through the app's own
    interface, and warns of weak keys, of cookies that are not protected, and of what else is risky. The sessions are
    such as Flask-Login and Flask-WTF keep; give a COOKIE of a real user, or - for standard input, to have that one
    examined as well.

    Exits with 0 if there is nothing to warn of, with 1 if there is, with 2 if the app or the cookie cannot be used.
    """
    name = name_of_cookie(app)
    value = None if cookie is None else read_cookie(cookie, name, is_of_any_form=has_own_way(app))
    run, findings = examine(app, name, value)
    is_clean = not any(finding.level == "warning" for finding in findings)
    if as_json:
        echo_json(
            {
                "interface": name_of_interface(app),
                "guard": run.guard,
                "stages": {
                    name: {"native": stage.is_native, "declined": stage.declined} for name, stage in run.stages.items()
                },
                "cookie_bytes": max(sizes_of(run), default=None),
                "findings": [finding._asdict() for finding in findings],
                "clean": is_clean,
            }
        )
    else:
        echo_examination(app, run, findings)
    context.exit(0 if is_clean else 1)


def examine(app: Flask, name: str, value: str | None) -> tuple[Run, list[Finding]]:
    if isinstance(app.session_interface, type):
        return Run({}, []), [warning("class", is_class(app.session_interface))]
    sample: object = None
    findings: list[Finding] = []
    kind = None if value is None else kind_of(app, value)
    if value is not None and has_own_way(app):
        read = by_app.read(app, value)
        findings += findings_of(check_record, cookies.Record(read.problem))
        sample = read.data
    elif value is not None and kind == "id":
        findings += findings_of(check_record, cookies.find_record(app, value))
    elif value is not None:
        verdict = (
            cookies.judge_encrypted(app, value)
            if kind == "encrypted"
            else cookies.judge(app, cookies.take_apart(value))
        )
        findings += findings_of(check_verdict, verdict)
        sample = verdict.data
    with without_log_of("revocations"):
        # check_revocations() tells of a store that is away.
        run = try_out(app, sample)
    findings += findings_of(check_run, run)
    findings += findings_of(check_interface, app)
    findings += findings_of(check_encryption, app, run)
    findings += findings_of(check_options, app)
    findings += findings_of(check_effect, app)
    findings += findings_of(check_lifetime, app)
    findings += findings_of(check_refreshing, app)
    findings += findings_of(check_outages, app)
    findings += findings_of(check_overrides, run)
    findings += findings_of(check_keys, app)
    findings += findings_of(check_name, app)
    findings += findings_of(check_attributes, app, run.lines)
    findings += findings_of(check_limit, app)
    findings += findings_of(check_size, app, max([*sizes_of(run), cookies.size_of(name, value or "")]))
    return run, findings


def sizes_of(run: Run) -> list[int]:
    return [len(line.partition(";")[0]) for line in run.lines]


def name_of_interface(app: Flask) -> str:
    interface: object = app.session_interface
    kind = interface if isinstance(interface, type) else type(interface)
    return f"{kind.__module__}.{kind.__qualname__}"


def echo_examination(app: Flask, run: Run, findings: list[Finding]) -> None:
    heading(name_of_interface(app) + (f" (guard: {run.guard})" if run.guard else ""))
    echo_table((name, verdict_on(stage)) for name, stage in run.stages.items())
    for level, colour in COLOURS.items():
        chosen = [finding for finding in findings if finding.level == level]
        if chosen:
            echo()
            heading(f"{level.capitalize()}s")
        for finding in chosen:
            echo(f"  {click.style(finding.code, fg=colour)}: {finding.text}")
    if not any(finding.level == "warning" for finding in findings):
        echo()
        echo(click.style("Nothing to warn of.", fg="green"))


def verdict_on(stage: Stage) -> str:
    if stage.is_native:
        return click.style("native", fg="green")
    text = f"left to Flask's own code{why(stage.declined)}" if stage.declined else "did not run"
    return click.style(text, fg=COLOURS["note"])
