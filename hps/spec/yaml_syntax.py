"""Errors of the YAML parser -> problems that speak of what a person wrote."""

from __future__ import annotations

from dataclasses import dataclass

from yaml import MarkedYAMLError

from hps.spec.problems import Problem, lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _Explanation:
    """Message and hint for errors whose problem contains `complaint`, and their context `context`.

    `at_start`: show where the broken value begins, not where the parser stopped. A `{line}` in the
    message becomes the line where it begins.
    """

    complaint: str
    message: str
    hint: str
    context: str = ""
    at_start: bool = False


_EXPLANATIONS = (
    _Explanation(
        complaint="end of stream",
        context="quoted scalar",
        message="this quote is never closed",
        hint="add the closing quote",
        at_start=True,
    ),
    _Explanation(
        complaint="',' or ']'",
        message="the list from line {line} is not closed here, and no ',' separates its values",
        hint="write [a, b], and put values that hold ': ' or brackets in quotes",
    ),
    _Explanation(
        complaint="',' or '}'",
        message="the mapping from line {line} is not closed here, and no ',' separates its keys",
        hint="write {key: value, key: value}, and put values that hold ': ' in quotes",
    ),
    _Explanation(
        complaint="mapping values are not allowed",
        message="a ':' stands where no key can be",
        hint="check the indentation, or put a value that holds ': ' in quotes",
    ),
    _Explanation(
        complaint="could not find expected ':'",
        message="this line is neither 'key: value' nor part of the value before",
        hint="add the ':' after the key",
        at_start=True,
    ),
    _Explanation(
        complaint="escape character",
        message="unknown escape in double quotes",
        hint="write \\\\ for a backslash, or use single quotes",
    ),
    _Explanation(
        complaint="'-' indicator",
        message="a list ends here, and something else begins at the same indentation",
        hint="indent it below the list item, or begin it with '- '",
    ),
    _Explanation(
        complaint="expected key",
        message="this fits neither as a key nor as part of the value before",
        hint="check the indentation against the lines above, and quotes and brackets",
    ),
    _Explanation(
        complaint="<block end>",
        message="this fits neither as a key nor as part of the value before",
        hint="check the indentation against the lines above, and quotes and brackets",
    ),
    _Explanation(
        complaint="node content",
        message="a value is missing here",
        hint="write a value, or delete the extra ','",
    ),
    _Explanation(
        complaint="alphabetic or numeric",
        message="'*' and '&' begin the name of an alias or anchor, and there is no name",
        hint="put text that begins with '*' or '&' in quotes",
    ),
    _Explanation(
        complaint="incompatible YAML",
        message="this version of YAML is not supported",
        hint="use YAML 1.2, and leave the %YAML line out",
    ),
    _Explanation(
        complaint="tag",
        message="this tag cannot be read",
        hint="put text that begins with '!' in quotes; tags are not used here",
    ),
    _Explanation(
        complaint="document start",
        message="something follows the end of the document",
        hint="keep one document in a file",
    ),
    _Explanation(
        complaint="",
        context="block scalar",
        message="'|' and '>' begin a block of text on the next line",
        hint="put text that begins with '|' or '>' in quotes",
    ),
)
_OTHERWISE = _Explanation(
    complaint="", message="this is not valid YAML", hint="check indentation, quotes and brackets"
)
_TAB = _Explanation(
    complaint="", message="a tab is used to indent", hint="indent with spaces; YAML forbids tabs"
)
_VARIABLE = _Explanation(
    complaint="",
    message="'${' inside [ ] or { } is read as a bracket",
    hint='put it in quotes where text is wanted ("${NAME}"); '
    "write the list or mapping on lines of its own where a number is wanted",
)
_NEVER_CLOSED = _Explanation(
    complaint="",
    message="a '[' or '{' is never closed",
    hint="add the closing bracket",
)
_RESERVED = _Explanation(
    complaint="", message="a value cannot begin with this character", hint="put the value in quotes"
)


def explain_syntax(error: MarkedYAMLError, text: str, file: str, column_offset: int) -> Problem:
    """The problem of a parser's error, with no quotation from the file."""
    all_lines = lines(text)
    line, column = _within(all_lines, *_place(error, at_start=False))
    up_to = all_lines[line][: column + 1]
    rest = "".join([all_lines[line][column:], *all_lines[line + 1 :]])
    explanation = _explain(error, up_to, rest)
    begin = _place(error, at_start=True)
    if explanation.at_start:
        line, column = begin
    column += 1 + (column_offset if line == 0 else 0)
    return Problem(
        file=file,
        line=line + 1,
        column=column,
        end_column=column + 1,
        message=explanation.message.replace("{line}", str(begin[0] + 1)),
        hint=explanation.hint,
        rule="syntax",
    )


def _explain(error: MarkedYAMLError, up_to: str, rest: str) -> _Explanation:
    complaint, context = error.problem or "", error.context or ""
    before, at = up_to[:-1], up_to[-1:]
    if at == "\t" and ("tab" in complaint or "token" in complaint):
        return _TAB
    if not rest.strip() and ("node content" in complaint or "expected ','" in complaint):
        return _NEVER_CLOSED
    if at == "{" and before.endswith("$"):
        return _VARIABLE
    if "cannot start any token" in complaint:
        return _RESERVED
    fitting = (e for e in _EXPLANATIONS if e.complaint in complaint and e.context in context)
    return next(fitting, _OTHERWISE)


def _place(error: MarkedYAMLError, *, at_start: bool) -> tuple[int, int]:
    marks = [error.problem_mark, error.context_mark]
    if at_start:
        marks.reverse()
    mark = next((mark for mark in marks if mark is not None), None)
    return (mark.line, mark.column) if mark is not None else (0, 0)


def _within(all_lines: list[str], line: int, column: int) -> tuple[int, int]:
    """The place, or where that is beyond all text, the end of the last line that has any."""
    last = len(all_lines) - 1
    while last > 0 and not all_lines[last].strip():
        last -= 1
    return (line, column) if line <= last else (last, len(all_lines[last]))
