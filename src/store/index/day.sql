-- The tables of one day; DAY stands for its number. What is not known is NULL.

-- Exchanges by the number of their opening record.
CREATE TABLE x_DAY (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,         -- the exchange's id less the day's first microsecond: when it began
    inside INTEGER,              -- the same of the exchange it was read inside of
    client INTEGER NOT NULL, user INTEGER,
    host INTEGER,
    path INTEGER,
    program INTEGER,
    manner INTEGER NOT NULL,     -- method, port, status and what else many have in common
    judgement INTEGER NOT NULL,
    stopped INTEGER,             -- 1, or NULL
    dialled INTEGER,
    up INTEGER, down INTEGER,    -- bytes
    total_ms INTEGER,
    ending INTEGER,
    captured INTEGER             -- the address it was on its way to, past the proxy
) STRICT;
CREATE INDEX x_DAY_stopped ON x_DAY (stopped) WHERE stopped = 1;

-- What a client did with a host in the day. Times are milliseconds since the day's beginning.
CREATE TABLE p_DAY (
    client INTEGER NOT NULL, host INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL,
    requests INTEGER NOT NULL,   -- exchanges in all, of which:
    tunnels INTEGER NOT NULL,
    challenged INTEGER NOT NULL, denied INTEGER NOT NULL, -- stopped
    would INTEGER NOT NULL,      -- let out because the policy is only observed
    failed INTEGER NOT NULL,     -- let out, and came to nothing
    up INTEGER NOT NULL, down INTEGER NOT NULL,
    PRIMARY KEY (client, host)
) STRICT, WITHOUT ROWID;
CREATE INDEX p_DAY_host ON p_DAY (host);

-- What was stopped or would have been, by why, client and host.
CREATE TABLE r_DAY (
    judgement INTEGER NOT NULL, client INTEGER NOT NULL, host INTEGER NOT NULL, -- host 0: none
    port INTEGER NOT NULL, requests INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (judgement, client, host, port)
) STRICT, WITHOUT ROWID;

-- What was let out and came to nothing, by how it ended.
CREATE TABLE f_DAY (
    client INTEGER NOT NULL, host INTEGER NOT NULL, ending INTEGER NOT NULL,
    requests INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (client, host, ending)
) STRICT, WITHOUT ROWID;

-- Which software a client used, on how many exchanges; and which addresses a host was dialled at, on how many: in one column,
-- see `dialled.rs`, as a row of its own for each would be longer than all else of an exchange.
CREATE TABLE s_DAY (
    program INTEGER NOT NULL, client INTEGER NOT NULL, requests INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (program, client)
) STRICT, WITHOUT ROWID;
CREATE TABLE d_DAY (
    host INTEGER NOT NULL, part INTEGER NOT NULL, addresses BLOB NOT NULL,
    PRIMARY KEY (host, part)
) STRICT, WITHOUT ROWID;

-- Attempts past the proxy, by client, where they were to go (of `address`, as is the client) and what else they have in
-- common. What they count and carried are sums of records of kind `flow`.
CREATE TABLE w_DAY (
    client INTEGER NOT NULL, address INTEGER NOT NULL, course INTEGER NOT NULL,
    count INTEGER NOT NULL, packets INTEGER NOT NULL, up INTEGER NOT NULL, down INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (client, address, course)
) STRICT, WITHOUT ROWID;
CREATE INDEX w_DAY_address ON w_DAY (address);
CREATE INDEX w_DAY_course ON w_DAY (course);
-- The same of each record: `at` is its time in microseconds since the day's beginning.
CREATE TABLE v_DAY (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL,
    client INTEGER NOT NULL, address INTEGER NOT NULL, course INTEGER NOT NULL,
    count INTEGER NOT NULL, packets INTEGER NOT NULL, up INTEGER NOT NULL, down INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL
) STRICT;

-- By which URLs and bodies exchanges are found again, see `url.rs`: the mark of host and path where the path was seen, with
-- that of the query; and the SHA-256 of a body, with the name that it came under.
CREATE TABLE u_DAY (
    url INTEGER NOT NULL, seq INTEGER NOT NULL, query INTEGER,
    PRIMARY KEY (url, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE b_DAY (
    sha256 BLOB NOT NULL, seq INTEGER NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (sha256, seq)
) STRICT, WITHOUT ROWID;

-- How often it was judged so, and of that stopped, by the quarter of an hour of the day in which the exchange began.
CREATE TABLE q_DAY (
    quarter INTEGER NOT NULL, judgement INTEGER NOT NULL,
    requests INTEGER NOT NULL, stopped INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (quarter, judgement)
) STRICT, WITHOUT ROWID;
