"""The style rules, as tests: layers, imports, sizes, words. No rule without a check.

Limits may be crossed only by what `RATCHET` lists, and an entry may only shrink: when the thing it
excuses gets smaller, the test asks for the smaller number; when it is within the limit, the entry
must go.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "execkit"

# Imports run upwards in this table only: a module may import from its own row or the rows above.
# A folder counts as one name.
LAYERS = (
    "errors",
    "words kernels arrays clock kept waiting redaction crashpoints runlock",
    "domain",
    "timeframes config chain secrets",
    "book tables table_input instruments rebuild checks combine align market",
    "sources models valuation positions snapshot limits risk metrics "
    "order_table order_columns coding",
    "fill_table "
    "journal lifecycle records recovery venues matching scan request profit pressure liquidation "
    "simulator results algos sample taker_cost toy "
    "limit_orders limit_grid executors summaries sweeps scaleout "
    "store schema ingest ingest_sql storefile storedb storesim storesql",
    "dashboards outlets tasks orders realism",
    "rehearsal",
    "reconcile ready custody judge resolve verdict",
    "monitor driver frames account bookkeeping signals protection gate emergency "
    "diff remotes resuming scheduling",
    "engine",
    "desk",
    "runner demo bench soak doctor doctor_exchange",
    "cli cli_parts cli_simulate cli_bench cli_sweep cli_live cli_data cli_rehearse",
)
RANK = {name: row for row, names in enumerate(LAYERS) for name in names.split()}

# A noun's convenience method may reach up, inside the function that needs it.
LAZY_UPWARDS = {
    ("market", "sources"),
    ("market", "checks"),
    ("market", "combine"),
    ("models", "simulator"),  # a fill model is checked by what it makes simulate do
}

# Screens and outlets read tables and events; nothing that trades knows them, nor they it.
STRANGERS = {
    "dashboards": "orders monitor engine",
    "outlets": "orders monitor engine dashboards",
    "orders": "dashboards outlets",
    "monitor": "dashboards outlets",
    "engine": "dashboards outlets",
}

# Heavy libraries, and the only places that may import them.
HOMES = {
    "duckdb": r"store\w*|store/.*",
    "ccxt": r"venues/.*|sources/.*",
    "plotly": r"dashboards/.*",
    "ipywidgets": r"dashboards/.*",
    "anywidget": r"dashboards/.*",
    "numba": r"kernels|book|simulator|matching.*|market|rebuild|models/.*|metrics/.*"
    r"|bench/peers/.*",
    "papermill": r"cli|runner",
    "nbformat": r"cli|runner",
}
BANNED_IMPORTS = {"nest_asyncio", "nest_asyncio2", "sql", "dash", "plotly_resampler"}

MODULE_LINES, FUNCTION_LINES, LINE_LENGTH = 400, 60, 100
PRAGMA = re.compile(r"\s+# (noqa|type:|fmt:|pragma:).*$")
RATCHET: dict[str, int] = {}

# DESIGN, section 4: one word per concept. A public name may not contain these words.
BANNED_WORDS = {
    "trade": "fill (own), print (public) or order",
    "trades": "fills (own), prints (public) or orders",
    "deal": "fill",
    "broker": "venue",
    "gateway": "venue",
    "connector": "venue",
    "amount": "quantity",
    "qty": "quantity",
    "commission": "fee",
    "sandbox": "ExecutionMode.DEMO",
    "denied": "refused or rejected",
    "slippage_bps": "a name ending in _cost_bps",
}
# What is allowed may depend on the world; what is done never does.
MODE_DECIDES = {
    "limits:live_limits": "live will not start without limits that somebody set",
    "gate:checked": "an engine says which mode it is in, and its venues must agree",
    "risk:paper_only": "without a guard only paper may be sent",
    "venues/opening:open_venue": "keys, network and world are chosen here, once",
    "venues/live:__init__": "orders for an exchange are demo or live",
    "venues/live:connect": "the exchange's own test world is another address",
    "ingest:market_of": "live runs share the venue's market; a replay has its own",
}

# Names that others gave: columns of their files, ids of their feeds.
FOREIGN_NAMES = {"trade_id", "last_trade_id"}

SECONDS_OF_NAMES = re.compile(r"_(secs|seconds|millis|msec|usec|micros|nanos)$")
# The guide's own parameter names keep their spelling.
GUIDE_NAMES = {"timeout_seconds", "cooldown_seconds"}


@cache
def modules() -> dict[str, Path]:
    """Path from the package, without suffix -> file."""
    return {str(p.relative_to(PACKAGE).with_suffix("")): p for p in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def lines(name: str) -> list[str]:
    return modules()[name].read_text(encoding="utf-8").splitlines()


def unit(module: str) -> str:
    """The name in `LAYERS` that a module or dotted path belongs to."""
    head = re.split(r"[/.]", module)[0]
    return re.sub(r"^matching\w*", "matching", head)


def imports(node: ast.AST, top: bool = True) -> Iterator[tuple[str, int, bool]]:
    """(dotted module, line, at import time?) of every import below `node`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield alias.name, child.lineno, top
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative import"
            base = child.module or ""
            if base == "execkit":
                for alias in child.names:
                    yield f"execkit.{alias.name}", child.lineno, top
            else:
                yield base, child.lineno, top
        else:
            inner = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from imports(child, top and not inner and not typing_only)


def own_imports(name: str) -> Iterator[tuple[str, int, bool]]:
    for target, line, top in imports(tree(name)):
        if target.startswith("execkit.") and not target.startswith("execkit.__"):
            yield target.removeprefix("execkit."), line, top


def each(names: object = None) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", sorted(modules()))


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository that match, ignored ones left out."""
    done = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:  # an unpacked archive has no history
        return sorted(p for pattern in patterns or ("*",) for p in ROOT.rglob(pattern))
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


# ------------------------------------------------------------------------------------- layers


def test_every_module_has_its_place_in_the_table_of_layers() -> None:
    missing = {unit(name) for name in modules() if name != "__init__"} - set(RANK)
    assert not missing, f"add to LAYERS in tests/test_tidy.py: {sorted(missing)}"


@each()
def test_imports_run_one_way(name: str) -> None:
    if name == "__init__":
        return
    mine, wrong = unit(name), []
    for target, line, top in own_imports(name):
        other = unit(target)
        upwards = RANK.get(other, 99) > RANK.get(mine, 0)
        if upwards and (top or (mine, other) not in LAZY_UPWARDS):
            wrong.append(f"line {line}: {mine} may not import {other}")
        if other in STRANGERS.get(mine, "").split():
            wrong.append(f"line {line}: {mine} and {other} do not know each other")
    assert not wrong, f"{name}: {wrong}"


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for name in modules():
        found = graph.setdefault(name.removesuffix("/__init__"), set())
        for target, _, top in own_imports(name):
            path = target.replace(".", "/")
            known = path if path in modules() or f"{path}/__init__" in modules() else None
            if top and known and known != name.removesuffix("/__init__"):
                found.add(known)
    # a package's own __init__ gathers its members, so within one folder only files are compared
    for name, targets in graph.items():
        graph[name] = {
            t for t in targets if not (f"{t}/__init__" in modules() and name.startswith(t))
        }
    TopologicalSorter(graph).prepare()


@each()
def test_heavy_libraries_are_imported_only_at_home(name: str) -> None:
    wrong = []
    for target, line, _ in imports(tree(name)):
        root = target.split(".")[0]
        if root in BANNED_IMPORTS:
            wrong.append(f"line {line}: {root} is not used in this project")
        if root in HOMES and not re.fullmatch(HOMES[root], name):
            wrong.append(f"line {line}: {root} belongs in {HOMES[root]}")
    assert not wrong, f"{name}: {wrong}"


# ------------------------------------------------------------------------------------- sizes


def within(key: str, size: int, limit: int) -> str:
    """Empty if `size` is allowed for `key`, else what is wrong."""
    allowed = RATCHET.get(key)
    if allowed is None:
        return f"{key}: {size} > {limit}" if size > limit else ""
    if size <= limit:
        return f"{key} is within {limit} now: delete it from RATCHET"
    if size < allowed:
        return f"{key} shrank: set RATCHET to {size}"
    return f"{key}: {size} > {allowed}, and may only shrink" if size > allowed else ""


def test_modules_stay_within_400_lines_and_lines_within_100_columns() -> None:
    wrong = [within(name, len(lines(name)), MODULE_LINES) for name in modules()]
    for path in tracked("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            line = PRAGMA.sub("", line)  # a remark to a tool does not count
            if len(line) > LINE_LENGTH and " " in line.strip():  # one word cannot be broken
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {len(line)} columns")
    assert not [w for w in wrong if w]


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, the docstring not counted."""
    doc = ast.get_docstring(node, clean=False)
    size = (node.end_lineno or node.lineno) - node.lineno + 1
    if doc is None:
        return size
    first = node.body[0]
    return size - ((first.end_lineno or first.lineno) - first.lineno + 1)


def test_functions_stay_within_60_lines() -> None:
    wrong = [
        within(f"{name}:{node.name}", body_lines(node), FUNCTION_LINES)
        for name in modules()
        for node in functions(name)
    ]
    assert not [w for w in wrong if w]


def test_the_ratchet_names_things_that_exist() -> None:
    known = set(modules()) | {f"{m}:{f.name}" for m in modules() for f in functions(m)}
    assert set(RATCHET) <= known


# ------------------------------------------------------------------------------------- words


def public_names(name: str) -> Iterator[tuple[str, int]]:
    """Names a user can meet: functions, classes, arguments, attributes, module constants."""
    for node in ast.walk(tree(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno
            if not node.name.startswith("_"):
                for arg in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
                    yield arg.arg, arg.lineno
        elif isinstance(node, ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.lineno


@each()
def test_public_names_use_the_words_of_the_contract(name: str) -> None:
    wrong = []
    for identifier, line in public_names(name):
        if identifier.startswith("_") or identifier in FOREIGN_NAMES:
            continue
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", identifier).lower()
        for word, better in BANNED_WORDS.items():
            if re.search(rf"(^|_){word}($|_)", snake):
                wrong.append(f"line {line}: {identifier}: say {better}")
        if SECONDS_OF_NAMES.search(snake) and identifier not in GUIDE_NAMES:
            wrong.append(f"line {line}: {identifier}: end it in _s, _ms or _ns")
    assert not wrong, f"{name}: {wrong}"


# ------------------------------------------------------------------------------------- habits


@each()
def test_times_become_integers_in_one_place_only(name: str) -> None:
    """pandas 3 keeps microseconds, so astype(int64) on a time is wrong a thousandfold."""
    if name == "clock":
        return
    wrong = []
    for node in ast.walk(tree(name)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr != "astype" or not node.args:
            continue
        kind = ast.unparse(node.args[0])
        owner = ast.unparse(node.func.value)
        if kind in ("'int64'", "int", "'int'", "'i8'", "'datetime64[ns]'"):
            wrong.append(f"line {node.lineno}: astype({kind}); use clock.column_to_ns or np.int64")
        elif kind == "np.int64" and re.search(r"\.dt\b|to_datetime|Timestamp", owner):
            wrong.append(f"line {node.lineno}: {owner}.astype(np.int64); use clock.column_to_ns")
    assert not wrong, f"{name}: {wrong}"


@each()
def test_broad_excepts_say_why(name: str) -> None:
    """A broad except may swallow the one error that mattered, so the reason stands beside it."""
    text = lines(name)
    wrong = []
    for node in ast.walk(tree(name)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        kind = "" if node.type is None else ast.unparse(node.type)
        if kind not in ("", "Exception", "BaseException"):
            continue
        reraises = any(isinstance(n, ast.Raise) and n.exc is None for n in ast.walk(node))
        # the handler's line, the one above it, and the first of its body
        near = "\n".join(text[max(0, node.lineno - 2) : node.lineno + 1])
        if not reraises and not re.search(r"#\s*(noqa: \w+\W+)?\w+ \w+ \w+", near):
            wrong.append(f"line {node.lineno}")
    assert not wrong, f"{name}: broad except without a reason beside it: {wrong}"


@each()
def test_no_module_prints_except_the_command_line(name: str) -> None:
    if name in ("cli", "cli_parts", "cli_bench", "demo"):
        return
    calls = [
        node.lineno
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "breakpoint")
    ]
    assert not calls, f"{name}: print on lines {calls}"


@each()
def test_no_condition_asks_which_world_it_is_in(name: str) -> None:
    """Paper and live differ in the venue and the clock, never in an `if` of the engine."""
    wrong = []
    excused = {
        id(inner)
        for node in functions(name)
        if f"{name}:{node.name}" in MODE_DECIDES
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree(name)):
        if id(node) in excused:
            continue
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            test = ast.unparse(node.test)
        elif isinstance(node, ast.Compare):
            test = ast.unparse(node)
        elif isinstance(node, ast.Match):
            test = ast.unparse(node.subject)
        else:
            continue
        if "ExecutionMode" in test or re.search(r"\bmode (is|==|in|!=)", test):
            wrong.append(f"line {node.lineno}: {test}")
    assert not wrong, f"{name}: {wrong}"


def test_nothing_is_left_unfinished() -> None:
    mark = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    wrong = [n for n in modules() if "NotImplementedError" in modules()[n].read_text("utf-8")]
    for path in tracked("*.py", "*.md", "*.toml", "*.yml", "*.ipynb", ".ci/*"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if mark.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}")
    assert not wrong


def test_no_file_names_a_path_or_an_address_of_one_machine() -> None:
    place = re.compile(
        r"(?<![\w.])/(work|root|farm|home/\w+|Users/\w+|tmp)/|127\.0\.0\.1:\d{4}|C:\\"
    )
    wrong = []
    for path in tracked():
        if path.suffix in (".parquet", ".png", ".zst") or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if place.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not wrong


# --------------------------------------------------------------------------------- notebooks

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_small_executed_documents(path: Path) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    cells = book["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]

    assert len(tagged) == 1
    assert cells[0]["cell_type"] == "markdown"
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    assert not [o for c in code for o in c["outputs"] if o["output_type"] == "error"]
    assert path.stat().st_size < 400_000
    assert any("NBVAL_CHECK_OUTPUT" in "".join(c["source"]) for c in code)
    longest = max(len([x for x in c["source"] if x.strip()]) for c in code)
    assert longest <= 16, "logic longer than that belongs in the package"
