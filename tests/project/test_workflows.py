"""The workflows refer to what there is, may do no more than they must, and build as scripts/wheel.sh does."""

from __future__ import annotations

import itertools
import os
import re
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
TEXTS = {path.name: path.read_text("utf-8") for path in sorted((GITHUB / "workflows").iterdir())}
# The base loader leaves all scalars text; others take the key "on" for true, and 3.10 for 3.1.
WORKFLOWS: dict[str, dict[str, t.Any]] = {name: yaml.load(text, yaml.BaseLoader) for name, text in TEXTS.items()}
JOBS = {(name, job): body for name, workflow in WORKFLOWS.items() for job, body in workflow["jobs"].items()}

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
WHEEL = (ROOT / "scripts" / "wheel.sh").read_text("utf-8")

#: What may be written, by whom; all others may read the sources at most.
WRITES = {("release.yml", "publish"): {"id-token": "write", "attestations": "write"}}

#: The commit of its releases could not be verified where this was written.
NOT_BY_COMMIT = {"pypa/gh-action-pypi-publish@release/v1"}

each_job = pytest.mark.parametrize("job", JOBS, ids="/".join)
each_workflow = pytest.mark.parametrize("name", WORKFLOWS)


def matrix_rows(body: dict[str, t.Any]) -> list[dict[str, str]]:
    """The combinations of a job's matrix, each with its values by name; one without any where there is no matrix."""
    matrix = body.get("strategy", {}).get("matrix", {})
    axes = {axis: values for axis, values in matrix.items() if axis not in ("include", "exclude")}
    rows = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    rows = [row for row in rows if not any(row.items() >= out.items() for out in matrix.get("exclude", []))]
    return rows + matrix.get("include", []) or [{}]


def filled_in(text: str, row: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda match: row[match[1]], text)


def commands(body: dict[str, t.Any]) -> Iterator[str]:
    for step, row in itertools.product(body["steps"], matrix_rows(body)):
        yield filled_in(step.get("run", ""), row)


def all_commands() -> str:
    return "\n".join(command for body in JOBS.values() for command in commands(body))


def steps_with(body: dict[str, t.Any], action: str) -> list[dict[str, t.Any]]:
    return [step for step in body["steps"] if step.get("uses", "").startswith(f"{action}@")]


# --- What they may do -----------------------------------------------------------------------------------------------


@each_job
def test_a_job_may_do_no_more_than_it_must(job: tuple[str, str]) -> None:
    permissions = JOBS[job].get("permissions", WORKFLOWS[job[0]]["permissions"])
    assert permissions == WRITES.get(job, {"contents": "read"})
    assert WORKFLOWS[job[0]]["permissions"] in ({}, {"contents": "read"})


@each_workflow
def test_no_workflow_knows_a_secret_or_runs_others_code_with_rights(name: str) -> None:
    assert "secrets" not in TEXTS[name]
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(WORKFLOWS[name]["on"])
    assert "inherit" not in TEXTS[name]


@each_job
def test_no_command_is_put_together_from_what_others_wrote(job: tuple[str, str]) -> None:
    for command in commands(JOBS[job]):
        assert "${{" not in command


@each_workflow
def test_actions_are_pinned_by_commit(name: str) -> None:
    actions = re.findall(r"uses: (\S+)(?: # (.*))?$", TEXTS[name], re.MULTILINE)
    assert len(actions) == TEXTS[name].count("uses:")
    for action, comment in actions:
        by_commit = re.search(r"@[0-9a-f]{40}$", action) and re.fullmatch(r"v\d+\.\d+\.\d+", comment)
        assert by_commit or action in NOT_BY_COMMIT, action


def test_an_action_has_one_version() -> None:
    pins = {tuple(pin.split("@")) for pin in re.findall(r"uses: (\S+ ?.*)$", "\n".join(TEXTS.values()), re.MULTILINE)}
    assert len(pins) == len(dict(t.cast("set[tuple[str, str]]", pins)))


@each_job
def test_a_job_ends_in_time_and_keeps_no_credentials(job: tuple[str, str]) -> None:
    assert int(JOBS[job]["timeout-minutes"]) <= 60
    for step in steps_with(JOBS[job], "actions/checkout"):
        assert step["with"]["persist-credentials"] == "false"


# --- What they refer to ---------------------------------------------------------------------------------------------


@each_job
def test_the_jobs_that_a_job_needs_exist(job: tuple[str, str]) -> None:
    assert set(JOBS[job].get("needs", [])) <= WORKFLOWS[job[0]]["jobs"].keys() - {job[1]}


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^make (\S+)$", all_commands(), re.MULTILINE))
    assert targets >= {"test", "test-oldest"}
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make {target} is not in the Makefile"


def test_files_and_modules_exist() -> None:
    paths = set(re.findall(r"(?<![\w/])(?:\.ci|requirements|scripts|tests)/[\w./-]+", all_commands()))
    assert paths >= {".ci/run", "scripts/smoke.py", "requirements/build.txt", "tests/contract"}
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for module in re.findall(r"python -m (tests\.\S+)", all_commands()):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or path.joinpath("__main__.py").exists(), module


def test_scripts_that_are_run_by_name_are_executable() -> None:
    scripts = re.findall(r"^(?:\.ci|scripts)/\S+", all_commands(), re.MULTILINE)
    assert ".ci/run" in scripts
    assert [script for script in scripts if not os.access(ROOT / script, os.X_OK)] == []


# --- What they build and try ----------------------------------------------------------------------------------------

RELEASE = WORKFLOWS["release.yml"]["jobs"]
TESTS = WORKFLOWS["tests.yml"]["jobs"]


def of_wheel_script(name: str) -> list[str]:
    """The words of one of its variables."""
    found = re.search(rf"^{name}=(?:\((?P<array>[^)]*)\)|(?P<word>\S+))$", WHEEL, re.MULTILINE)
    assert found is not None, name
    return (found["array"] or found["word"]).replace('"', "").split()


def pythons(job: dict[str, t.Any]) -> set[str]:
    return {row["python"] for row in matrix_rows(job)}


def linux_interpreters() -> list[str]:
    """Those for which a wheel of their own is built on Linux."""
    (interpreters,) = re.findall(r"^build --interpreter (.*)$", run_by("linux"), re.MULTILINE)
    return t.cast("str", interpreters).split()


def run_by(job: str) -> str:
    """The commands of a job of the release, as they stand there."""
    return "\n".join(step.get("run", "") for step in RELEASE[job]["steps"])


def test_nothing_is_published_before_all_is_tried() -> None:
    publish = RELEASE["publish"]
    assert set(publish["needs"]) == RELEASE.keys() - {"publish"}
    assert set(RELEASE["smoke"]["needs"]) == {"linux", "macos-windows"}
    assert publish["if"] == "github.event_name == 'push' && github.ref_type == 'tag'"
    assert publish["environment"] == "pypi"
    assert WORKFLOWS["release.yml"]["on"]["push"] == {"tags": ["v*"]}


def test_the_wheels_are_counted_right() -> None:
    # And one for the stable ABI.
    linux = len(matrix_rows(RELEASE["linux"])) * (len(linux_interpreters()) + 1)
    wheels = linux + len(matrix_rows(RELEASE["macos-windows"]))
    assert f"= {wheels}\n" in all_commands()


def test_a_release_is_built_as_the_script_builds() -> None:
    rows = [f"{row['target']} {row['platform']}" for row in matrix_rows(RELEASE["linux"])]
    assert " ".join(rows).split() == of_wheel_script("platforms")
    assert linux_interpreters() == of_wheel_script("interpreters")
    elsewhere = {row["wheel"] for row in matrix_rows(RELEASE["macos-windows"])}
    assert elsewhere == {name.removeprefix("python") for name in linux_interpreters()} | {"abi3"}
    assert (
        "--features abi3 --interpreter python3.10" in run_by("linux")
        and "--features abi3 --interpreter python3.10" in WHEEL
    )
    tried = RELEASE["smoke"]["strategy"]["matrix"]["python"]
    assert [f"python{version}" for version in tried] == of_wheel_script("pythons")


def test_a_release_is_built_with_pinned_tools() -> None:
    assert [WORKFLOWS["release.yml"]["env"]["RUSTUP_TOOLCHAIN"]] == of_wheel_script("rust")
    install = "-m pip install --quiet --require-hashes --only-binary :all: -r requirements/wheel.txt\n"
    assert install in WHEEL
    for job in ("sdist", "linux", "macos-windows"):
        assert install.replace(" --quiet", "") in run_by(job)
        assert 'rustup toolchain install "$RUSTUP_TOOLCHAIN" ' in run_by(job)
        assert all("--locked" in command for command in re.findall("maturin build.*", run_by(job)))


def test_each_tool_that_builds_a_release_is_pinned_by_hash() -> None:
    wanted = re.findall(r"^\S+==\S+", requirements("wheel.in"), re.MULTILINE)
    entries = re.findall(r"^(\S+==\S+)(.*(?:\n +--hash=sha256:.*)+)$", requirements("wheel.txt"), re.MULTILINE)
    assert len(wanted) == 4
    assert set(wanted) <= {pin for pin, _ in entries}
    # Nothing but entries and comments.
    assert len(re.findall(r"^[^\s#]", requirements("wheel.txt"), re.MULTILINE)) == len(entries)
    (maturin,) = re.findall(r"^maturin==\S+$", requirements("build.txt"), re.MULTILINE)
    assert maturin in wanted


def requirements(name: str) -> str:
    return (ROOT / "requirements" / name).read_text("utf-8")


def test_the_oldest_rust_is_that_of_the_crate() -> None:
    (oldest,) = re.findall(r'^rust-version = "(\S+)"$', (ROOT / "Cargo.toml").read_text("utf-8"), re.MULTILINE)
    tried = [command for command in commands(TESTS["oldest-rust"]) if command]
    assert tried[0].startswith(f"rustup toolchain install {oldest} ")
    assert tried[1:3] == [f"cargo +{oldest} check --locked", f"cargo +{oldest} check --locked --features abi3"]


def test_all_pythons_are_tested() -> None:
    oldest = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert oldest is not None
    supported = {f"3.{minor}" for minor in range(int(oldest[1]), 15)}
    (setup,) = steps_with(TESTS["check"], "actions/setup-python")
    assert pythons(TESTS["python"]) | {setup["with"]["python-version"]} == supported
    assert pythons(RELEASE["smoke"]) == supported | {"3.14t"}
    assert pythons(TESTS["guards"]) == supported
    for job in (TESTS["elsewhere"], RELEASE["smoke-musl"]):
        assert pythons(job) == {min(supported), max(supported)}


def test_each_build_is_tried_with_the_guard_that_it_has_to_have() -> None:
    guards = {(row["python"], row["guard"]) for row in matrix_rows(TESTS["guards"])}
    tags = {name.removeprefix("python") for name in linux_interpreters() if not name.endswith("t")}
    assert {python for python, guard in guards if guard == "tags"} == tags
    assert {python for python, guard in guards if guard == "look-ups"} == {*tags, "3.10"}
    tried = [command for command in commands(TESTS["guards"]) if command]
    for command in ('scripts/smoke.py --guard "$GUARD"', "tests/contract", "tests.changes", "tests.differential.codec"):
        assert sum(command in step for step in tried) == len(guards)


def test_the_contract_runs_each_week_on_the_main_branches() -> None:
    upstream = WORKFLOWS["upstream.yml"]
    minute, hour, day, month, weekday = upstream["on"]["schedule"][0]["cron"].split()
    assert (day, month) == ("*", "*")
    assert minute.isdecimal() and hour.isdecimal() and weekday.isdecimal()
    steps = "\n".join(commands(upstream["jobs"]["main-branches"]))
    for project in ("flask", "werkzeug", "itsdangerous"):
        assert f"https://github.com/pallets/{project}/archive/refs/heads/main.tar.gz" in steps
    assert "python -m pytest tests/contract\n" in steps


# --- What people read and fill in -----------------------------------------------------------------------------------


def test_contributing_names_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    targets = set(re.findall(r"make ([a-z0-9-]+)", text))
    assert "check" in targets
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make {target} is not in the Makefile"
    paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|\w+\.md)`", text)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["bug_report", "different_from_flask", "feature"])
def test_an_issue_form_can_be_filled_in(name: str) -> None:
    form = yaml.load((GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8"), yaml.BaseLoader)
    assert {"name", "description", "body"} <= form.keys()
    questions = [part for part in form["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in questions} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert all(part["attributes"]["label"] for part in questions)
    assert len({part["id"] for part in questions}) == len(questions)
    assert any(part.get("validations") == {"required": "true"} for part in questions)
