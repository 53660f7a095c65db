"""The house: which room may import which, and what each may load. Read from the files, not from a running program."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "landscape"

# room -> the rooms it may import. A room is a file or folder directly under landscape/.
MAY_IMPORT = {
    "version": "",
    "errors": "",
    "checks": "errors",
    "rounding": "",
    "escaping": "",
    "statistics": "checks",
    "crossing": "",
    "progress": "",
    "progress_bar": "escaping",
    "files": "errors",
    "jobs": "checks errors",
    "params": "errors",
    "device": "",
    "distributed": "errors",
    "hvp": "checks device distributed errors params progress",
    "objective": "checks device distributed errors hvp params progress",
    "operators": "checks device errors hvp objective params progress",
    "results": "checks errors rounding",
    "estimators": "checks device errors operators progress results rounding",
    "geometry": "checks device distributed errors files jobs objective progress results rounding",
    "sampling": "checks device errors objective results",
    "topology": "checks errors results",
    "problems": "checks device errors files objective",
    "optimizers": "checks errors",
    "checkpoints": "checks crossing distributed errors files problems rounding version",
    "edge_of_stability": "checkpoints checks device errors estimators objective operators optimizers params problems "
    "progress results",
    "training": "checkpoints checks errors files jobs optimizers problems progress",
    "monitoring": "checkpoints checks device distributed edge_of_stability errors estimators objective operators "
    "problems results store training version",
    "store": "errors escaping files results rounding",
    "exchange": "checks errors files results rounding store",
    "comparison": "checks crossing errors escaping rounding statistics store",
    "tables": "checks comparison errors escaping results rounding store",
    "plots": "checks comparison errors escaping results rounding store",
    "report": "comparison escaping plots results rounding store tables",
    "pictures": "analysis checkpoints checks errors escaping estimators geometry jobs objective operators plots "
    "problems progress results rounding store",
    "analysis": "checkpoints checks crossing device distributed edge_of_stability errors estimators geometry jobs "
    "objective operators problems progress report results sampling store version",
    "study": "analysis checkpoints checks comparison errors escaping estimators geometry jobs objective operators "
    "plots problems results rounding sampling statistics store training version",
    "witness": "analysis checkpoints checks device errors estimators geometry objective operators progress results "
    "rounding store",
    "cli": "analysis checkpoints comparison distributed errors escaping exchange files pictures problems progress_bar "
    "report store tables training witness",
    "__main__": "cli",
    "__init__": "version",
}
EXTRA = {
    "exchange/directions.py": {"params"},
    "geometry/sharpness/curvature.py": {"operators", "estimators"},
    "geometry/sharpness/relative.py": {"operators", "estimators", "params"},
    "geometry/sharpness/fisher_rao.py": {"operators"},
    "geometry/sharpness/langevin.py": {"operators", "estimators"},
    "geometry/sharpness/learning_coefficient.py": {"statistics"},
    "geometry/sharpness/ascent.py": {"estimators"},
    "geometry/sharpness/drawn.py": {"operators"},
    "geometry/basins.py": {"operators"},
    "geometry/alignment/tracing.py": {"hvp"},
    "geometry/alignment/activations.py": {"hvp"},
    "geometry/alignment/copies.py": {"params"},
}
ONLY_IN = {
    "h5py": {"files", "importers"},
    "matplotlib": {"plots"},
    "typer": {"cli"},
    "safetensors": {"checkpoints"},
    "distributed": {"jobs"},
    "submitit": {"jobs"},
}
WITHOUT_TORCH = [
    "escaping",
    "jobs",
    "results",
    "statistics",
    "store",
    "tables",
    "plots",
    "report",
    "comparison",
    "topology",
    "exchange",
    "analysis.plan",
    "cli",
]

FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((PACKAGE.parent / "tests").rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Dotted names a file imports anywhere but under TYPE_CHECKING."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_room_may(path):
    room = room_of(path)
    allowed = set(MAY_IMPORT[room].split()) | {room} | EXTRA.get(str(path.relative_to(PACKAGE)), set())
    inside = {name.split(".")[1] for name in imports_of(path) if name.startswith("landscape.")}
    assert inside <= allowed, f"{path.name} imports {sorted(inside - allowed)}"
    outside = {name.split(".")[0] for name in imports_of(path)}
    for library, rooms in ONLY_IN.items():
        assert library not in outside or room in rooms, f"{library} is loaded only by {sorted(rooms)}"


def test_what_is_imported_by_name_is_known_here():
    """The arrows above are read from import statements; these few say at run time what they load."""
    by_name = {
        "__init__.py",  # public names, when they are first used
        "checkpoints/importers/pickles.py",  # a class that a person typed
        "jobs/job.py",  # the function that a job names
        "problems/importing.py",  # a problem that a person typed
        "results/base.py",  # the one arrow upwards: record.plot() finds landscape.plots.single_record
    }
    found = {str(path.relative_to(PACKAGE)) for path in FILES if "import_module(" in path.read_text()}
    assert found == by_name
    assert 'import_module("landscape.plots.single_record")' in (PACKAGE / "results/base.py").read_text()


def test_every_room_is_on_the_plan_and_no_rooms_form_a_circle():
    assert {room_of(path) for path in FILES} <= set(MAY_IMPORT)
    edges = {room: set() for room in MAY_IMPORT}
    for path in FILES:
        for name in imports_of(path):
            if name.startswith("landscape.") and name.split(".")[1] in MAY_IMPORT:
                edges[room_of(path)].add(name.split(".")[1])
    order: list[str] = []

    def settle(room: str, above: tuple[str, ...] = ()) -> None:
        assert room not in above, f"circle: {' -> '.join([*above, room])}"
        if room not in order:
            for below in edges[room] - {room}:
                settle(below, (*above, room))
            order.append(room)

    for room in edges:
        settle(room)


def test_no_permission_is_left_that_nobody_uses():
    used: dict[str, set[str]] = {}
    for path in FILES:
        names = {name.split(".")[1] for name in imports_of(path) if name.startswith("landscape.")}
        extra = EXTRA.get(str(path.relative_to(PACKAGE)), set())
        assert extra <= names, f"{path.name} no longer imports {sorted(extra - names)}"
        used.setdefault(room_of(path), set()).update(names)
    unused = {room: sorted(set(rooms.split()) - used[room]) for room, rooms in MAY_IMPORT.items()}
    assert not {room: rooms for room, rooms in unused.items() if rooms}


def test_no_files_form_a_circle_when_they_are_loaded():
    """Across rooms the plan forbids it; within a room nothing else would."""
    files = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in FILES}
    below: dict[str, set[str]] = {}
    for name, path in files.items():
        at_the_top = [
            node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        wanted = {alias.name for node in at_the_top if isinstance(node, ast.Import) for alias in node.names}
        wanted |= {
            f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in files else str(node.module)
            for node in at_the_top if isinstance(node, ast.ImportFrom) for alias in node.names
        }  # fmt: skip
        below[name] = {found for found in (w if w in files else f"{w}.__init__" for w in wanted) if found in files}
    TopologicalSorter(below).prepare()


def test_tests_import_from_the_support_folder_alone():
    """What several of them share lies there, so that each file of tests can be moved, split or dropped by itself."""
    for path in TESTS:
        ours = {name for name in imports_of(path) if name.split(".")[0] == "tests"}
        others = {name for name in ours if not name.startswith("tests.support.")}
        assert not others, f"{path} imports {sorted(others)}"


def test_files_stay_readable():
    long = {str(p): n for p in FILES + TESTS if (n := len(p.read_text().splitlines())) > 350}
    assert not long, f"files over 350 lines: {long}"
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (body[-1].end_lineno - body[0].lineno + 1) if body else 0
                assert lines <= 60, f"{path.name}: {node.name} has {lines} lines below its docstring"


def test_an_objective_is_asked_by_its_public_names():
    """Other files know ``objective.point``, ``.batches`` and ``.module``, not how they are kept."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                of = node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", "")
                assert "objective" not in of, f"{path}: line {node.lineno} reads {of}.{node.attr}"


def test_nothing_below_the_command_line_prints_or_exits():
    for path in FILES:
        if room_of(path) in ("cli", "__main__", "progress_bar"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "quit"), f"{path}: line {node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in ("manual_seed_all",), f"{path}: line {node.lineno}"


def loaded_after(code: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_importing_landscape_loads_neither_torch_nor_matplotlib():
    loaded = loaded_after("import landscape; landscape.__version__; dir(landscape)")
    assert not loaded & {"torch", "matplotlib", "h5py", "pandas", "scipy"}


def test_the_viewing_rooms_load_no_torch():
    loaded = loaded_after("; ".join(f"import landscape.{room}" for room in WITHOUT_TORCH))
    assert "torch" not in loaded
    assert "landscape.store" in loaded


def test_every_public_name_resolves():
    import landscape

    for name in landscape.__all__:
        assert getattr(landscape, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'top_eigenpair'"):
        _ = landscape.top_eigenpair
