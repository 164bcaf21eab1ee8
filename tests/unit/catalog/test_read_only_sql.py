"""Rules of SQL that a person types: one SELECT over one table passes, whatever could read or write more fails."""

from __future__ import annotations

import pytest

from serving_assets.catalog.read_only_sql import refuse_unless_read_only
from serving_assets.errors import InputError

ALLOWED = (
    "SELECT * FROM t LIMIT 20",
    "FROM t",
    "select count(*) from T;",
    "WITH a AS (SELECT * FROM t), b AS (SELECT * FROM a) SELECT * FROM b JOIN t USING (id)",
    "SELECT * FROM t, unnest([1, 2]) UNION ALL SELECT * FROM t, range(3)",
    "SELECT 'COPY t TO ''/tmp/x''; DROP TABLE t' AS text, $$ ; ATTACH 'x' $$ FROM t",
    "SELECT * FROM t WHERE id IN (SELECT max(id) FROM t) -- ; COPY t TO 'x'",
    "DESCRIBE t",
    "SUMMARIZE t",
)
REFUSED = (
    "COPY t TO '/tmp/stolen.csv'",
    "COPY (SELECT * FROM t) TO '/tmp/stolen.parquet' (FORMAT parquet)",
    "EXPORT DATABASE '/tmp/stolen'",
    "ATTACH '/tmp/other.db' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "SET threads = 1",
    "CREATE TABLE copy AS SELECT * FROM t",
    "DELETE FROM t",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY t TO '/tmp/stolen.csv'",
    "",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT (SELECT content FROM read_blob('/etc/passwd')) FROM t",
    "SELECT * FROM t WHERE EXISTS (SELECT * FROM glob('/*'))",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "data.csv"',
    "SELECT * FROM t JOIN 's3://bucket/x.parquet' USING (id)",
    'SELECT * FROM "x.csv" WHERE EXISTS (WITH "x.csv" AS (SELECT 1) SELECT * FROM "x.csv")',
    "SELECT * FROM query('SELECT * FROM read_csv(''/etc/passwd'')')",
    "SELECT * FROM query_table('/etc/passwd')",
    "SELECT * FROM parquet_scan('x.parquet')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM main.t2",
    "DESCRIBE '/etc/hosts.csv'",
    "SELEC 1",
)


@pytest.mark.parametrize("sql", ALLOWED)
def test_one_select_over_the_table_passes(sql: str) -> None:
    """Subqueries, common table expressions and functions that make rows of their arguments are part of a SELECT."""
    refuse_unless_read_only(sql, "t")


@pytest.mark.parametrize("sql", REFUSED)
def test_everything_else_is_refused(sql: str) -> None:
    """Other statements, several of them, files, and functions that read files, databases or settings."""
    with pytest.raises(InputError, match="The SQL"):
        refuse_unless_read_only(sql, "t")
