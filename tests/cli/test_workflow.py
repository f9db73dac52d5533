"""The workflow that people copy: its commands are understood, and its first job has no key."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import click
import pytest
import yaml

from hps.cli.main import cli
from tests.command import REPOSITORY

_WORKFLOW = yaml.safe_load((REPOSITORY / "docs" / "github-actions.yml").read_text())
_REDIRECTION = re.compile(r"\s>>?\s.*$")


def _commands() -> Iterator[list[str]]:
    """The words of each call of hps, without where its output goes."""
    for job in _WORKFLOW["jobs"].values():
        for step in job["steps"]:
            for text in str(step.get("run", "")).replace("\\\n", " ").splitlines():
                if text.strip().startswith("hps "):
                    yield shlex.split(_REDIRECTION.sub("", text.strip()))[1:]


def _parse(words: list[str]) -> None:
    """Read the words as click does, without doing anything. Raises `click.UsageError`."""
    command: click.Command = cli
    parent: Any = None
    while isinstance(command, click.Group):
        parent = click.Context(command, parent=parent)
        name, found, words = command.resolve_command(parent, words)
        assert found is not None, name
        command = found
    command.make_context(command.name, words, parent=parent)


def test_every_command_of_the_workflow_is_understood() -> None:
    found = list(_commands())
    assert {words[1] for words in found if words[0] == "fleet"} == {"plan", "up", "wait", "down"}
    assert {words[0] for words in found} == {"validate", "fleet", "results", "compare"}
    for words in found:
        _parse(words)


def test_a_word_that_no_command_knows_is_seen() -> None:
    with pytest.raises(click.UsageError):
        _parse(["fleet", "wait", "x.yaml", "--no-such-option"])


def test_what_a_pull_request_runs_has_no_key() -> None:
    jobs = _WORKFLOW["jobs"]
    assert "secrets." not in str(jobs["plan"]) + str(_WORKFLOW["env"])
    assert "secrets.SALAD_API_KEY" in str(jobs["measure"]["env"])
    assert jobs["measure"]["if"] == "github.event_name == 'schedule'"
