"""Five questions of `sekisho review`, as SQL that DuckDB, Spark and `sekisho sql` understand alike.

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

# Every client that spoke to a host or tried to.
HOST = """
SELECT client, min(time) AS first, max(time) AS last, count(*) AS requests,
       coalesce(sum(bytes_up), 0) AS bytes_up, coalesce(sum(bytes_down), 0) AS bytes_down
FROM exchanges
WHERE host = '{host}'
GROUP BY client
ORDER BY client
"""

# Who had to do with one of many hosts.
SWEEP = """
SELECT host, client, min(time) AS first, max(time) AS last, count(*) AS requests
FROM exchanges
WHERE host IN ({list})
GROUP BY host, client
ORDER BY host, client
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

QUESTIONS = {"blocked": BLOCKED, "client": CLIENT, "host": HOST, "sweep": SWEEP, "unknown": UNKNOWN}

# The members of a record that are read, with their types in DuckDB and Spark.
COLUMNS = {
    "seq": "BIGINT", "kind": "VARCHAR", "event": "VARCHAR", "id": "VARCHAR", "client": "VARCHAR", "host": "VARCHAR",
    "verdict": "VARCHAR", "reason": "VARCHAR", "bytes_up": "BIGINT", "bytes_down": "BIGINT",
}

# Crockford's base 32, in which an exchange's id is the microsecond in which it began.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def question(arguments):
    """The text of a question. What is put into it is checked, since it becomes SQL."""
    listed = []
    if arguments.list:
        with open(arguments.list, encoding="utf-8") as lines:
            listed = [line.strip() for line in lines if line.strip()]
    for value in (arguments.client, arguments.host, arguments.since, *listed):
        if not all(character.isalnum() or character in ".:-[]_" for character in value):
            raise SystemExit(f"`{value}` is no host, no address and no time")
    names = ", ".join(f"'{value}'" for value in listed) or "''"
    asked = QUESTIONS[arguments.question]
    return asked.format(client=arguments.client, host=arguments.host, since=arguments.since, list=names)


def parse_arguments(description):
    """What both programs take."""
    import argparse

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("question", choices=sorted(QUESTIONS))
    parser.add_argument("journal", help="the directory `journal` of a gate's data directory, or a copy of it")
    parser.add_argument("--client", default="", help="an address, for `client`")
    parser.add_argument("--host", default="", help="a host as records have it, for `host`")
    parser.add_argument("--list", default="", help="a file with a host a line, for `sweep`")
    parser.add_argument("--since", default="", help="such as 2026-11-01T00:00:00.000000Z")
    return parser.parse_args()
