"""The shape of the code: who may import whom, and where a few things are kept in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.command import REPOSITORY

# The packages from the top down. A module imports what stands on lines below its own, and its
# neighbours on the same line, as long as no circle comes of it.
ORDER = (
    ("cli",),
    ("clean", "fleet"),
    ("prove", "run"),
    ("report", "steps"),
    ("compare", "gpu"),
    ("data", "node", "results", "source", "targets"),
    ("tools",),
    ("plan", "process", "spec"),
    ("catalog",),
    ("errors", "log", "model", "redaction", "run_folder", "runners", "units"),
)
LEAVES = {f"hps.{name}" for line in ORDER[-2:] for name in line}
# Pure: no process, no network, no node. What each may know beyond the leaves.
PURE: Mapping[str, set[str]] = {
    "hps.catalog": set(),
    "hps.spec": {"hps.plan.cells"},
    "hps.plan": set(),
    "hps.compare": {
        *("hps.plan.estimate", "hps.results.database", "hps.results.tables", "hps.spec.gates"),
    },
    # The check of targets is shown, not made.
    "hps.report": {
        "hps.compare",
        "hps.plan.estimate",
        "hps.plan.fairness",
        "hps.spec.gates",
        "hps.node.probe.checked",
    },
}
MOST_AT_THE_TOP = 10
LONGEST_CHAIN = 14
SMALL_LINES = 80
# Why a small module that one other imports is not a part of that: by its name, or its package's.
REASONS_TO_BE_SMALL: Mapping[str, str] = {
    "hps.cli.prove": "what a command does, apart from its options, for it imports much",
    "hps.report.pictures": "one picture, one file",
    "hps.source": "one place to come from, one file",
    "hps.steps": "one kind of step, one file",
    "hps.report.as_csv": "one format, one file",
    "hps.report.as_json": "one format, one file",
    "hps.report.as_markdown": "one format, one file",
    "hps.report.as_text": "one format, one file",
    "hps.report.check_text": "one answer, one file",
    "hps.node.probe.speedtest": "one way to probe, one file",
    "hps.plan.fairness": "what is to be known of the tools in a plan, apart from how it is shown",
    "hps.process.orphans": "the guard is a script with the standard library alone",
    "hps.process.usage": "what the kernel counts of a process, apart from how it is waited for",
    "hps.prove.certificate": "made by another program, which may not be there",
    "hps.tools.rclone.server": "the S3 server, apart from the client of buckets",
    "hps.targets.http2": "a question to a server, for which nothing else is needed",
}
# Who may import what is used in few places.
IN_ONE_PLACE: Mapping[str, set[str]] = {
    "subprocess": {"hps.process.process"},
    "multiprocessing": set(),
    "pty": set(),
    "hps.cli.main": {"hps.__main__"},
    "click": {
        *(f"hps.cli.{name}" for name in ("main", "options", "validate")),
        *(f"hps.cli.{name}" for name in ("check", "clean", "compare", "report", "results")),
        *("hps.cli.fleet", "hps.cli.fleet_end", "hps.cli.fleet_start", "hps.cli.tools"),
    },
    "duckdb": {"hps.results.database"},
    "altair": set(),
    "vl_convert": {"hps.report.pictures.chart"},
    "rich": {"hps.cli.progress"},
    "structlog": {"hps.log"},
}
# What makes a tool delete something.
DELETING = {
    *("delete", "deletefile", "purge", "cleanup", "cleanup-hidden", "rmdir", "rmdirs"),
    *("move", "moveto", "sync", "bisync", "dedupe", "rm", "mv"),
}
DELETES = {"hps.tools.rclone.client", "hps.tools.rclone.command"}
NAMING_STEPS = {
    *("hps.plan.estimate", "hps.run.execute", "hps.spec.checks"),
    *("hps.catalog.steps", "hps.steps", "hps.node.probe.check", "hps.node.probe.checked"),
}
# What messages are called, and what looks for words in a text.
MESSAGES = {
    *("reason", "reasons", "why", "wrong", "trouble", "failure", "error", "err", "last_error"),
    *("said", "message", "msg", "detail", "last_line", "stderr"),
}
SEARCHES = {
    *("startswith", "endswith", "find", "rfind", "index", "rindex", "count", "split", "rsplit"),
    *("partition", "rpartition", "removeprefix", "removesuffix", "sub"),
    *("search", "match", "fullmatch", "findall", "finditer"),
}
SEARCHES_OF_SQL = re.compile(
    r"\breasons?\s+(?:NOT\s+)?(?:I?LIKE|SIMILAR|GLOB)\b"
    r"|\b(?:contains|starts_with|ends_with|instr|regexp_\w+)\(\s*(?:\w+\.)?reasons?\b",
    re.IGNORECASE,
)
# Those that read what servers, rclone or git say, and make codes or values of it.
READ_A_TOOLS_WORDS = {
    *("hps.catalog.failures", "hps.source.git"),
    *(f"hps.tools.{name}" for name in ("awscli", "azcopy", "go", "gsutil", "library", "s3parcp")),
    "hps.tools.s5cmd",
    "hps.runners.obstore_copy",
    *(f"hps.tools.rclone.{name}" for name in ("copying", "errors", "log")),
}
# Who names rclone beside the tool itself, the dict of tools and their facts, and why.
NAMING_RCLONE: Mapping[str, str] = {
    "hps.catalog.providers": "a provider is one row, and rclone's name for it stands there",
    "hps.model": "the tool of a cell that names none",
    "hps.cli.examine": "an event, by the name that people know",
    "hps.node.facts": "HPS_RCLONE, among the variables that this program reads",
    "hps.spec.target_checks": "messages about targets that rclone treats in its own way",
    "hps.spec.formats": "a message about folders that the client of buckets can't use as written",
    "hps.results.columns": "rclone_version, a column of stored results",
    "hps.compare.grouping": "rclone_version, a column of stored results",
    "hps.report.node_text": "rclone_version, a field of what a node is",
    "hps.report.results_text": "rclone_version, a column of stored results",
}
# Names of functions and classes have a word of the field, or of `hps/__init__.py`, in their place.
UNUSUAL = {
    *("settle", "settled", "tell", "tells", "told", "untold", "hold", "holds", "held", "wish"),
    *(
        "say",
        "says",
        "said",
        "heard",
        "unheard",
        "left",
        "one",
        "besides",
        "take",
        "taken",
        "going",
    ),
}
MOST_LINES = 600
MOST_LINES_OF_A_FUNCTION = 35
WITH_SHORT_FUNCTIONS = ("hps", "bench", "tests")
# What only some machines have, or takes seconds to import.
HEAVY = {"torch", "pynvml", "speedtest", "cupy", "duckdb", "altair", "vl_convert"}


@cache
def _modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    paths = sorted((REPOSITORY / "hps").rglob("*.py"))
    return {_name(path): path for path in paths}


def _name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_modules()[module].read_text(encoding="utf-8"))


def _imported(node: ast.AST) -> Iterator[str]:
    """What an import statement names; `from hps import plan` names the module `hps.plan.expand`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            module = f"{node.module}.{alias.name}"
            yield module if module in _modules() else str(node.module)


@cache
def _imports(module: str) -> frozenset[str]:
    """Everything that a module imports, anywhere in it."""
    return frozenset(name for node in ast.walk(_tree(module)) for name in _imported(node))


@cache
def _own_imports(module: str) -> frozenset[str]:
    return frozenset(name for name in _imports(module) if name in _modules() and name != "hps")


def _line(module: str) -> int:
    """The number of a module's line in `ORDER`, from the top; what starts `hps` stands above."""
    if module == "hps.__main__":
        return -1
    package = module.split(".")[1]
    lines = [number for number, line in enumerate(ORDER) if package in line]
    assert lines, f"give hps.{package} a place in ORDER"
    return lines[0]


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_every_place_is_that_of_a_module() -> None:
    places = {f"hps.{name}" for line in ORDER for name in line}
    named = {
        *places,
        *PURE,
        *REASONS_TO_BE_SMALL,
        *READ_A_TOOLS_WORDS,
        *NAMING_STEPS,
        *NAMING_RCLONE,
    }
    assert named <= set(_modules())


def test_a_module_imports_only_what_stands_below_it() -> None:
    wrong = {
        f"{module} imports {name}"
        for module in _modules()
        for name in _own_imports(module)
        if _line(name) < _line(module)
    }
    assert wrong == set()


def test_the_top_of_the_package_holds_few_modules() -> None:
    at_the_top = [path.name for path in _modules().values() if path.parent.name == "hps"]
    assert len(at_the_top) <= MOST_AT_THE_TOP, at_the_top


def test_what_is_pure_knows_only_the_leaves() -> None:
    wrong = {
        f"{module} imports {name}"
        for package, more in PURE.items()
        for module in _modules()
        if _is_in(module, package)
        for name in _own_imports(module)
        if not any(_is_in(name, known) for known in {package, *LEAVES, *more})
    }
    assert wrong == set()


def test_no_import_goes_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle: {' -> '.join((*path, module))}"
        if module not in done:
            for name in sorted(_own_imports(module)):
                visit(name, (*path, module))
            done.add(module)

    for module in _modules():
        visit(module, ())


def test_no_chain_of_imports_is_long() -> None:
    longest = max(map(_chain, _modules()), key=len)
    assert len(longest) <= LONGEST_CHAIN, " > ".join(longest)


@cache
def _chain(module: str) -> tuple[str, ...]:
    """The longest chain of imports that begins with a module."""
    below = map(_chain, sorted(_own_imports(module)))
    return (module, *max(below, key=len, default=()))


def test_one_place_for_one_thing() -> None:
    importers = {
        name: {
            module
            for module in _modules()
            if any(_is_in(imported, name) for imported in _imports(module))
        }
        for name in IN_ONE_PLACE
    }
    assert importers == IN_ONE_PLACE


def test_nothing_goes_through_a_shell_or_starts_a_process_behind_our_back() -> None:
    shells = {"system", "popen", "fork", "forkpty", "posix_spawn"}
    wrong = []
    for module in _modules():
        for node in ast.walk(_tree(module)):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                wrong.append(f"{module}:{node.value.lineno}: shell=")
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "os"
                and (node.attr in shells or node.attr.startswith(("exec", "spawn")))
            ):
                wrong.append(f"{module}:{node.lineno}: os.{node.attr}")
    assert wrong == []


def test_what_deletes_in_a_bucket_is_built_in_one_place() -> None:
    """Each there takes an `OwnFolder`. The same words name kinds of steps, and a server's calls.

    What `hps.fleet.kubernetes` deletes is in a cluster.
    """
    allowed = {"/operations/copyfile", *(f"{word} of a step" for word in ("delete", "sync"))}
    found = {
        f"{word} of a step" if module in NAMING_STEPS else word
        for module in _modules()
        if module != "hps.fleet.kubernetes"
        for word in _texts(module)
        if module not in DELETES and (word in DELETING or word.startswith("/operations/"))
    }
    assert found <= allowed


def test_what_rclone_is_called_and_does_is_known_to_its_module() -> None:
    """Another tool has to need no change outside of `hps.tools` and the facts of tools."""
    known = ("hps.tools.rclone", "hps.catalog.tools")
    naming = {
        module
        for module in _modules()
        if module != "hps.tools" and not any(_is_in(module, place) for place in known)
        if any("rclone" in text.lower() for text in _texts_of_code(module))
    }
    places = {
        next((place for place in NAMING_RCLONE if _is_in(module, place)), module)
        for module in naming
    }
    assert places == set(NAMING_RCLONE)


def test_rclone_is_imported_by_the_tools_alone() -> None:
    """`hps.tools` names what it is used for; the client of buckets uses that."""
    importers = {
        module
        for module in _modules()
        if any(_is_in(name, "hps.tools.rclone") for name in _own_imports(module))
    }
    others = {name for name in importers if not _is_in(name, "hps.tools.rclone")}
    assert others == {"hps.tools", "hps.tools.files"}


def _texts_of_code(module: str) -> Iterator[str]:
    """Texts that are neither docstrings nor stand alone in another way."""
    nodes = list(ast.walk(_tree(module)))
    alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def _texts(module: str) -> set[str]:
    constants = (node for node in ast.walk(_tree(module)) if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)}


def test_nothing_is_decided_by_the_words_of_a_message() -> None:
    """A failure has a code and an owner: another wording must never be another outcome."""
    others = (module for module in _modules() if module not in READ_A_TOOLS_WORDS)
    assert {module: lines for module in others if (lines := _searches(_tree(module)))} == {}


@pytest.mark.parametrize(
    "code",
    [
        '"501" in wrong',
        "any(word in error.message for word in GONE)",
        'str(error).lower().startswith("no such")',
        'row["reason"].split(":")',
        'record.get("reason", "").removesuffix(".")',
        're.search("50[0-9]", failure.text)',
        "GONE.match(said.err)",
        'measurement.reason == "the run was stopped"',
        'f"{why}: {hint}".endswith("denied")',
        "query(\"SELECT 1 WHERE r.reason LIKE '%denied%'\")",
    ],
)
def test_a_search_for_words_is_seen(code: str) -> None:
    assert _searches(ast.parse(code)) == {1}


@pytest.mark.parametrize(
    "code",
    [
        'reason == ""',
        'failure.code == "throttled"',
        'failure.code in {"throttled", "quota"}',
        'name.startswith("reason")',
        "reasons.append(reason)",
        "SELECT = 'SELECT reason, count(*) FROM runs'",
    ],
)
def test_what_asks_for_a_code_is_none(code: str) -> None:
    assert _searches(ast.parse(code)) == set()


def _searches(tree: ast.AST) -> set[int]:
    """The lines that look for words in a message."""
    return {node.lineno for node in ast.walk(tree) if isinstance(node, ast.expr) if _seeks(node)}


def _seeks(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and SEARCHES_OF_SQL.search(node.value) is not None
    if isinstance(node, ast.Compare):
        looked_in = [
            other
            for operator, other in zip(node.ops, node.comparators, strict=True)
            if isinstance(operator, ast.In | ast.NotIn)
        ]
        sides = [node.left, *node.comparators]
        same = isinstance(node.ops[0], ast.Eq | ast.NotEq) and any(map(_is_text, sides))
        return any(map(_is_message, looked_in)) or (same and any(map(_is_message, sides)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in SEARCHES and any(map(_is_message, (node.func.value, *node.args)))
    return False


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != ""


def _is_message(node: ast.expr) -> bool:
    """True for what is called as messages are, for its text, and for what is made of that."""
    if isinstance(node, ast.Name):
        return node.id in MESSAGES
    if isinstance(node, ast.Attribute):
        return node.attr in MESSAGES or (node.attr in {"text", "hint"} and _is_message(node.value))
    if isinstance(node, ast.Subscript):
        return _is_key_of_one(node.slice) or _is_message(node.value)
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id == "str"
        method = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        parts = node.args if named else [method]
        return any(map(_is_message, parts)) or any(map(_is_key_of_one, node.args))
    if isinstance(node, ast.JoinedStr):
        held = (part.value for part in node.values if isinstance(part, ast.FormattedValue))
        return any(map(_is_message, held))
    return False


def _is_key_of_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in MESSAGES


def test_heavy_libraries_are_imported_inside_functions() -> None:
    assert {module: wrong for module in _modules() if (wrong := _heavy_outside(module))} == {}


def _heavy_outside(module: str) -> list[str]:
    inside = {node for function in _functions(_tree(module)) for node in ast.walk(function)}
    return [
        f"line {node.lineno}: {name}"
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in inside
        for name in _imported(node)
        if name.partition(".")[0] in HEAVY
    ]


def test_a_module_says_what_it_is_and_is_short() -> None:
    assert [module for module in _modules() if not ast.get_docstring(_tree(module))] == []
    sizes = {module: len(path.read_text().splitlines()) for module, path in _modules().items()}
    assert {module: lines for module, lines in sizes.items() if lines >= MOST_LINES} == {}


def test_what_is_small_and_used_once_has_a_reason() -> None:
    importers: dict[str, list[str]] = {}
    for module in _modules():
        for name in _own_imports(module):
            importers.setdefault(name, []).append(module)
    wrong = {
        f"{module} is imported by {used[0]} alone"
        for module, used in importers.items()
        if len(used) == 1 and _modules()[module].name != "__init__.py"
        if len(_modules()[module].read_text().splitlines()) < SMALL_LINES
        if not any(_is_in(module, known) for known in REASONS_TO_BE_SMALL)
    }
    assert wrong == set()


def test_no_function_is_long() -> None:
    folders = (REPOSITORY / folder for folder in WITH_SHORT_FUNCTIONS)
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    trees = ((path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths)
    assert {str(path): names for path, tree in trees if (names := _long_functions(tree))} == {}


@pytest.mark.parametrize(("lines", "expected"), [(35, []), (36, ["f: 36 lines"])])
def test_all_of_a_function_counts_but_its_decorators(lines: int, expected: list[str]) -> None:
    head = 'def f(\n    x: int,\n) -> int:\n    """What it does."""\n'
    function = head + "    x += 1\n" * (lines - head.count("\n"))
    assert _long_functions(ast.parse(f"@cache\n{function}")) == expected
    assert _long_functions(ast.parse(f"async {function}")) == expected


def _long_functions(tree: ast.Module) -> list[str]:
    """Functions and methods that are too long from `def` to their last line."""
    sizes = ((node, (node.end_lineno or 0) - node.lineno + 1) for node in _functions(tree))
    return [
        f"{node.name}: {lines} lines" for node, lines in sizes if lines > MOST_LINES_OF_A_FUNCTION
    ]


def test_no_two_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for module in _modules():
        for node in ast.walk(_tree(module)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in found.items() if len(modules) > 1} == {}


def test_names_say_what_is_done_in_the_usual_words() -> None:
    """`hps/__init__.py` has the verbs. `put` is what HTTP and S3 call it."""
    wrong = {
        f"{module}: {node.name}"
        for module in _modules()
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        if not UNUSUAL.isdisjoint(_words(node.name))
    }
    assert wrong == set()


def _words(name: str) -> set[str]:
    return set(re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower().split("_"))


@pytest.mark.parametrize("name", ["tell", "_told", "LeftOver", "settle_down", "is_held"])
def test_an_unusual_name_is_seen(name: str) -> None:
    assert UNUSUAL & _words(name)


def _functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(tree)
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
