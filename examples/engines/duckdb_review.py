"""Asks the segments of a journal, open and sealed, by DuckDB (`pip install duckdb`), and writes the answer as CSV.

    python3 duckdb_review.py client /var/lib/sekisho/journal --client 10.20.1.5
"""

import csv
import sys

import duckdb

from questions import ALPHABET, COLUMNS, parse_arguments, question

# What the records of an exchange say together: of each member the first that is said, of verdict and counts the last.
EXCHANGES = f"""
CREATE VIEW exchanges AS
SELECT id,
       strftime(make_timestamp(CAST(list_sum(list_transform(range(1, 12),
           lambda place: (strpos('{ALPHABET}', substring(id, place, 1)) - 1) * (CAST(1 AS HUGEINT) << (5 * (11 - place)))
       )) AS BIGINT)), '%Y-%m-%dT%H:%M:%S.%fZ') AS time,
       arg_min(client, seq) AS client, arg_min(host, seq) AS host,
       arg_max(verdict, seq) AS verdict, arg_max(reason, seq) AS reason,
       arg_max(bytes_up, seq) AS bytes_up, arg_max(bytes_down, seq) AS bytes_down
FROM read_json($files, format = 'newline_delimited', ignore_errors = true, columns = $columns)
WHERE kind = 'exchange'
GROUP BY id
HAVING min(CASE WHEN event = 'close' THEN 1 ELSE 0 END) = 0
"""


def literal(value):
    """Text or a dictionary of texts as DuckDB's SQL has them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {literal(kind)}" for name, kind in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return "'" + value.replace("'", "''") + "'"


def main():
    arguments = parse_arguments("Asks a journal by DuckDB.")
    files = [f"{arguments.journal}/*.jsonl", f"{arguments.journal}/*.jsonl.zst"]
    connection = duckdb.connect()
    files = [name for name in files if connection.execute("SELECT count(*) FROM glob(?)", [name]).fetchone()[0] > 0]
    view = EXCHANGES.replace("$files", literal(files)).replace("$columns", literal(COLUMNS))
    connection.execute(view)
    answer = connection.execute(question(arguments))
    writer = csv.writer(sys.stdout)
    writer.writerow([column[0] for column in answer.description])
    while rows := answer.fetchmany(10_000):
        writer.writerows(rows)


main()
