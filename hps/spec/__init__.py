"""YAML text -> `Spec`: read within bounds, filled in, checked, and explained where it is wrong."""

from hps.spec.checks import Machine
from hps.spec.load import load, load_and_warn
from hps.spec.problems import Problem, SpecError, as_data, to_github, to_text
from hps.spec.schema import schema
from hps.spec.secret_values import secret_env_names
from hps.spec.source import STDIN, SpecText, read_file, read_stream

__all__ = [
    "STDIN",
    "Machine",
    "Problem",
    "SpecError",
    "SpecText",
    "as_data",
    "load",
    "load_and_warn",
    "read_file",
    "read_stream",
    "schema",
    "secret_env_names",
    "to_github",
    "to_text",
]
