"""Asks the segments of a journal, open and sealed, by Spark (`pip install pyspark zstandard`, and a JDK), and writes the answer
as CSV. Segments are read side by side, each as a whole.

    python3 spark_review.py client /var/lib/sekisho/journal --client 10.20.1.5
"""

import csv
import io
import sys

from pyspark.sql import SparkSession

from questions import ALPHABET, COLUMNS, parse_arguments, question

# What the records of an exchange say together: of each member the first that is said, of verdict and counts the last.
EXCHANGES = f"""
SELECT id,
       date_format(timestamp_micros(aggregate(sequence(1, 11), CAST(0 AS BIGINT),
           (sum, place) -> sum * 32 + locate(substring(id, place, 1), '{ALPHABET}') - 1)),
           "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'") AS time,
       {{first}}, {{last}}
FROM records
WHERE kind = 'exchange'
GROUP BY id
HAVING min(CASE WHEN event = 'close' THEN 1 ELSE 0 END) = 0
"""


def said(function, names):
    """The first or last that is said: what is absent on a record says nothing."""
    return ", ".join(f"{function}({name}, CASE WHEN {name} IS NOT NULL THEN seq END) AS {name}" for name in names)


def lines(segment):
    """The lines of a segment, of which the last may be under way."""
    path, content = segment
    stream = io.BytesIO(content)
    if path.endswith(".zst"):
        import zstandard

        stream = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
    for line in io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8", newline="\n"):
        if line.endswith("}\n"):
            yield line


def main():
    arguments = parse_arguments("Asks a journal by Spark.")
    spark = (
        SparkSession.builder.appName("journal").config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false").config("spark.sql.caseSensitive", "true").getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    segments = spark.sparkContext.binaryFiles(f"{arguments.journal}/*.{{jsonl,zst}}").flatMap(lines)
    schema = ", ".join(f"{name} {kind.replace('VARCHAR', 'STRING')}" for name, kind in COLUMNS.items())
    spark.read.schema(schema).json(segments).createOrReplaceTempView("records")
    firsts = said("min_by", ["client", "host"])
    lasts = said("max_by", ["verdict", "reason", "bytes_up", "bytes_down"])
    spark.sql(EXCHANGES.format(first=firsts, last=lasts)).createOrReplaceTempView("exchanges")
    answer = spark.sql(question(arguments))
    writer = csv.writer(sys.stdout)
    writer.writerow(answer.columns)
    for row in answer.toLocalIterator():
        writer.writerow(row)
    spark.stop()


main()
