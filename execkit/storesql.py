"""Queries of users: one statement a call, and none that writes."""

from __future__ import annotations

import re

import duckdb

from execkit.errors import InvalidInput

_BLANK = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/|[;(])*", re.S)
_EXPLAIN = re.compile(r"explain\b\s*(analyze\b)?\s*(\(\s*(analyze|format)\b[^)]*\))?", re.I)
_READS = re.compile(r"(select|with|from|values|pivot|pivot_wider)\b", re.I)
_OWN_DAMAGE = re.compile(r"Corrupt database|checksum|metadata pointer|No space left")


def check_query(db: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise `InvalidInput` unless `query` is one statement that only reads.

    The file is open read-only, but COPY and EXPORT would still write other files, and ATTACH,
    INSTALL and LOAD reach beyond the store. Reading files (read_parquet, read_csv) is allowed.
    """
    if not isinstance(query, str):
        raise InvalidInput("query", query, "pass one SELECT as text")
    try:
        statements = db.extract_statements(query)
    except duckdb.Error as error:
        raise InvalidInput("query", query, str(error).strip()) from None
    if not statements:
        raise InvalidInput("query", query, "is empty: write one SELECT")
    # DuckDB 1.5 makes several nameless statements of one PIVOT, 2.0 one of a kind of its own, and
    # of COPY (PIVOT ...) TO too
    blank = _BLANK.match(query)
    start = query[blank.end() :] if blank else query
    nameless = not any(s.query for s in statements)
    pivot = (nameless or _kind(statements[0]) == "MULTI") and _READS.match(start) is not None
    if len(statements) > 1 and not nameless:
        raise InvalidInput("query", query, f"has {len(statements)} statements: send one a call")
    kinds = {_kind(statement) for statement in statements}
    if kinds == {"EXPLAIN"}:
        inner = _EXPLAIN.match(start)
        if inner:  # EXPLAIN ANALYZE runs what it explains
            check_query(db, start[inner.end() :])
            return
    refused = kinds - ({"SELECT", "CREATE", "MULTI"} if pivot else {"SELECT"})
    if refused:
        fix = f"{min(refused)} is refused, queries only read: write one SELECT"
        raise InvalidInput("query", query, fix)


def _kind(statement: duckdb.Statement) -> str:
    try:
        return str(statement.type.name).upper()
    except (ValueError, AttributeError):  # a kind that the Python module has no name for
        return "this statement"


def is_users(error: duckdb.Error, path: object) -> bool:
    """Whether the caller's query is at fault, not the store's file.

    An unreadable file that the query names, or an extension that it needs, is the query's.
    """
    if isinstance(error, (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError)):
        return True
    text = str(error)
    outside = isinstance(error, duckdb.IOException) or type(error) is duckdb.Error
    outside = outside or isinstance(error, duckdb.HTTPException)
    return outside and str(path) not in text and not _OWN_DAMAGE.search(text)
