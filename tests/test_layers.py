"""Each layer imports only from the layers below it; imports inside functions count too."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BELOW = {
    "cli": {"session", "render", "profile", "perfdata"},
    "session": {"stack", "events", "engine", "machine", "perfdata", "results"},
    "render": {"results", "profile"},
    "profile": {"perfdata", "symbols"},
    "symbols": {"isa"},
    "perfdata": {"isa"},
    "stack": {"machine", "events"},
    "engine": {"machine", "isa"},
    "machine": {"isa"},
    "events": {"isa"},
    "results": {"isa"},  # for isa.record alone
    "isa": set(),
}
"""What each layer stands on; it may also import whatever those stand on."""

ONLY_IN = {"llvmlite": {"engine"}, "rich": {"render", "cli"}, "typer": {"cli"}}
"""Where the libraries that shape a layer belong."""

FILES = sorted([*ROOT.glob("rvperf/**/*.py"), *ROOT.glob("isa/**/*.py")])


def layer_of(module: str) -> str | None:
    """The layer that a module is in; None for the package rvperf itself and for others' modules."""
    parts = module.split(".")
    if parts[0] == "isa":
        return "isa"
    return parts[1] if parts[0] == "rvperf" and len(parts) > 1 else None


def reach(layer: str) -> set[str]:
    """A layer and everything below it."""
    return {layer}.union(*(reach(lower) for lower in BELOW[layer]))


def imports(path: Path) -> set[str]:
    """The full names of the modules that a file imports, wherever in it."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*start, *([node.module] if node.module else [])])
            # `from rvperf import session` names a module, `from rvperf.session import x` may not.
            found |= {f"{module}.{a.name}" for a in node.names} if module == "rvperf" else {module}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers_import_downwards_only(path):
    layer = layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    modules = imports(path)
    if layer in ("__init__", "__main__"):
        assert {layer_of(module) for module in modules} <= {None, "cli"}
        return
    assert layer in BELOW, f"{path} is in no layer: name it in BELOW and in docs/architecture.md"
    for module in modules:
        target = layer_of(module)
        assert target is None or target in reach(layer), f"{layer} must not import {module}"
        library = module.split(".")[0]
        assert layer in ONLY_IN.get(library, {layer}), f"{layer} must not import {library}"
        if layer == "isa" and target is None:
            assert library in sys.stdlib_module_names, f"isa must not import {library}"


def test_layers_have_no_cycle():
    for layer, below in BELOW.items():
        assert all(layer not in reach(lower) for lower in below)
