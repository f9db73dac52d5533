"""YAML text -> `Spec`: read within bounds, filled in, checked, and explained where it is wrong."""

from hps.spec.load import load
from hps.spec.machine import Machine
from hps.spec.problems import Problem, SpecError
from hps.spec.render import to_github, to_json, to_text
from hps.spec.schema import schema
from hps.spec.secret_names import secret_env_names
from hps.spec.source import SpecText, read_file

__all__ = [
    "Machine",
    "Problem",
    "SpecError",
    "SpecText",
    "load",
    "read_file",
    "schema",
    "secret_env_names",
    "to_github",
    "to_json",
    "to_text",
]
