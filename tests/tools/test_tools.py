"""A tool has a module, facts and a place in the schema, or it has none of them."""

from __future__ import annotations

import json

from hps.catalog.tools import TOOL_FACTS
from hps.model import Knobs
from hps.tools import TOOLS
from tests.command import REPOSITORY


def test_the_same_tools_have_a_module_facts_and_a_name_in_the_published_schema() -> None:
    schema = json.loads((REPOSITORY / "schemas/experiment.schema.json").read_text())
    published = schema["$defs"]["tool"]["anyOf"][0]["enum"]
    assert published == [*TOOL_FACTS] == [*TOOLS]
    assert {name: tool.name for name, tool in TOOLS.items()} == {name: name for name in TOOLS}
    assert Knobs(target="", size_bytes=0).tool in TOOLS
