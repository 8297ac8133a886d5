"""Three questions of `sekisho review`, as SQL that DuckDB, Spark and `sekisho sql` understand alike.

They ask `exchanges`: one row an exchange. Times are text, RFC 3339 in UTC with six digits of a second, which sorts as it is.
"""

# What was stopped, by why.
BLOCKED = """
SELECT reason, count(*) AS requests, count(DISTINCT client) AS clients, count(DISTINCT host) AS hosts
FROM exchanges
WHERE verdict <> 'allow' AND time >= '{since}'
GROUP BY reason
ORDER BY requests DESC, reason
"""

# Every destination that a client ever had.
CLIENT = """
SELECT host, min(time) AS first, max(time) AS last, count(*) AS requests,
       coalesce(sum(bytes_up), 0) AS bytes_up, coalesce(sum(bytes_down), 0) AS bytes_down
FROM exchanges
WHERE client = '{client}' AND host IS NOT NULL
GROUP BY host
ORDER BY host
"""

# Hosts that nobody here had asked for before a time, and how many clients have since.
UNKNOWN = """
SELECT host, min(time) AS first, count(DISTINCT client) AS clients, count(*) AS requests
FROM exchanges
WHERE host IS NOT NULL
GROUP BY host
HAVING min(time) >= '{since}'
ORDER BY first, host
"""

QUESTIONS = {"blocked": BLOCKED, "client": CLIENT, "unknown": UNKNOWN}

# The members of a record that are read, with their types in DuckDB and Spark.
COLUMNS = {
    "seq": "BIGINT", "kind": "VARCHAR", "event": "VARCHAR", "id": "VARCHAR", "client": "VARCHAR", "host": "VARCHAR",
    "verdict": "VARCHAR", "reason": "VARCHAR", "bytes_up": "BIGINT", "bytes_down": "BIGINT",
}

# Crockford's base 32, in which an exchange's id is the microsecond in which it began.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def question(arguments):
    """The text of a question. What is put into it is checked, since it becomes SQL."""
    for value in (arguments.client, arguments.since):
        if not all(character.isalnum() or character in ".:-[]" for character in value):
            raise SystemExit(f"`{value}` is no address and no time")
    return QUESTIONS[arguments.question].format(client=arguments.client, since=arguments.since)


def parse_arguments(description):
    """What both programs take."""
    import argparse

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("question", choices=sorted(QUESTIONS))
    parser.add_argument("journal", help="the directory `journal` of a gate's data directory, or a copy of it")
    parser.add_argument("--client", default="", help="an address, for `client`")
    parser.add_argument("--since", default="", help="such as 2026-11-01T00:00:00.000000Z")
    return parser.parse_args()
