"""The rooms of the house: who may import whom, read from the source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
# A room may import itself and those behind it. The leaves stand at the end, open to all.
FLOORS = (
    "commands", "sweep", "baselines", "tasks", "run", "execution", "report", "model", "methods", "results", "texts",
    "data", "files", "config", "leaves",
)  # fmt: skip
LEAVES = ("listener", "environment", "allocator", "words", "commands", "process_state")
ROOT_MODULES = {"previous_chapters": "model", "lora": "methods"}  # what a notebook imports; the others are commands
# The interface for Python stands beside the commands, and the package itself has the names in it for type checkers: it
# imports it when one of them is asked for.
INTERFACE = "ablation.api"
FRONT_DOOR = ("ablation", INTERFACE, True)
HEAVY = ("torch", "pandas", "numpy", "tiktoken", "scipy", "sklearn")


@dataclass(frozen=True)
class Import:
    """One module importing another of the project; ``for_types`` if no program runs it, only the type checker."""

    module: str
    imported: str
    line: int
    for_types: bool

    def __str__(self) -> str:
        return f"{self.module} ({room(self.module)}), line {self.line}: imports {self.imported} ({room(self.imported)})"


def room(module: str) -> str:
    """The room in which a module stands."""
    first, *below = module.split(".")
    if module == INTERFACE:
        return "commands"
    if first != "ablation":
        return ROOT_MODULES.get(first, "commands")
    if below and below[0] in FLOORS[1:-1]:
        return below[0]
    return "leaves" if below == [] or below[0] in LEAVES else f"none of the rooms: {module}"


def modules() -> dict[str, Path]:
    """The modules of the house by name: the package, and what stands at the root."""
    paths = [*PROJECT.glob("*.py"), *PROJECT.glob("ablation/**/*.py")]
    names = {path: ".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in paths}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


MODULES = modules()


def imports_of(module: str) -> Iterator[Import]:
    """The project's modules that a module imports, at whatever depth of its code."""

    def visit(node: ast.AST, for_types: bool) -> Iterator[Import]:
        for name in imported_names(node):
            if name in MODULES:
                yield Import(module, name, node.lineno, for_types)  # type: ignore[attr-defined]
        guarded = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            yield from visit(child, for_types or guarded)

    return visit(ast.parse(MODULES[module].read_text(encoding="utf-8")), False)


def imported_names(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0 and node.module, "imports are absolute here"
        members = {f"{node.module}.{alias.name}" for alias in node.names}
        return sorted(members & MODULES.keys()) or [node.module]
    return []


FOUND = [found for module in MODULES for found in imports_of(module)]
IMPORTS = [one for one in FOUND if (one.module, one.imported, one.for_types) != FRONT_DOOR]


def lines(found: Iterable[Import]) -> str:
    return "\n".join(str(one) for one in found)


def test_every_module_stands_in_a_room() -> None:
    assert [module for module in MODULES if room(module) not in FLOORS] == []


@pytest.mark.parametrize("for_types", [False, True], ids=["run", "for types"])
def test_imports_go_downwards(for_types: bool) -> None:
    upwards = [
        found
        for found in IMPORTS
        if found.for_types == for_types and FLOORS.index(room(found.imported)) < FLOORS.index(room(found.module))
    ]
    assert not upwards, lines(upwards)


def test_nothing_imports_a_command() -> None:
    found = [one for one in IMPORTS if room(one.imported) == "commands"]
    assert not found, lines(found)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {module: {one.imported for one in IMPORTS if one.module == module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle: " + " is imported by ".join(error.args[1]))


def test_configuration_imports_nothing_heavy() -> None:
    """A wrong command is refused in milliseconds."""
    names = [module for module in MODULES if room(module) == "config"]
    code = f"import sys, {', '.join(names)}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_package_by_itself_imports_nothing() -> None:
    """Whoever needs one module of it waits for no other."""
    assert {one.imported for one in FOUND if one.module == "ablation"} == {INTERFACE}
    code = "import sys, ablation; print(*(n for n in sys.modules if n.startswith('ablation.') or n in sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_rule_sees_what_it_forbids() -> None:
    """Or the tests above could not fail: here are imports of every kind, each where it must be found."""
    found = {(one.module, one.imported, one.for_types) for one in IMPORTS}
    assert ("ablation.config.flags", "ablation.config.rows", False) in found
    assert any(one.for_types for one in IMPORTS)
    assert room("sweep") == "commands" and room("ablation.sweep.plan") == "sweep"


def test_the_page_on_the_rooms_shows_them_in_this_order() -> None:
    table = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## ")[0]
    first_cells = re.findall(r"^\| (?:`ablation/)?(\w+)[`:].*?\|", table, flags=re.MULTILINE)
    in_picture = re.findall(r'font-weight="bold"[^>]*monospace">(\w+)', (PROJECT / "docs/architecture.svg").read_text())
    assert tuple(first_cells) == tuple(in_picture) == FLOORS
    leaves = next(line for line in table.splitlines() if line.startswith("| leaves"))
    assert tuple(re.findall("`(.*?)`", leaves)) == LEAVES
