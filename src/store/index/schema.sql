-- The index: what the journal says, arranged for questions. Derived from the journal alone and rebuilt from it at any time
-- by `sekisho reindex`; nothing in it proves anything. One SQLite file, `index.db` of the data directory.
--
-- Times are microseconds since 1970 (UTC) unless a column says otherwise. Names are kept once, and numbered in the order
-- of their first records. A day is a UTC day, counted from 1970-01-01; what belongs to a day is dropped with it, whole.

-- How far the journal was read: one row.
CREATE TABLE place (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    form INTEGER NOT NULL,       -- of this file; another form is built anew
    seq INTEGER NOT NULL,        -- the number of the last record that was read
    time INTEGER NOT NULL,       -- its time
    hash TEXT NOT NULL,          -- the `h` that its line ends with
    bad_since INTEGER NOT NULL,  -- lines behind it that were none
    records INTEGER NOT NULL,    -- records read, ever
    unreadable INTEGER NOT NULL, -- lines that were none
    backward INTEGER NOT NULL    -- times that the clock stepped back by more than a second from one record to the next
) STRICT;

CREATE TABLE client (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT; -- an address as written in records
CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE address (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT; -- one that was dialled, or is in a flow
CREATE TABLE host (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    domain TEXT NOT NULL,         -- registrable domain; the name itself where it has none
    first_time INTEGER NOT NULL,  -- when the first exchange with it began that is on record, and whose it was
    first_seq INTEGER NOT NULL,
    first_client INTEGER NOT NULL
) STRICT;
CREATE INDEX host_domain ON host (domain);
CREATE INDEX host_first ON host (first_time);
-- Software, by what records say of it. Absent parts are ''.
CREATE TABLE program (
    id INTEGER PRIMARY KEY,
    user_agent TEXT NOT NULL, ja4 TEXT NOT NULL, tls_key TEXT NOT NULL,
    UNIQUE (user_agent, ja4, tls_key)
) STRICT;
CREATE INDEX program_ja4 ON program (ja4);
-- A verdict with why. `would` is what enforcement would have done where the policy is observed; '' where the same.
-- `stopped` is 1 where nothing was let out: denied, or challenged instead of answered.
CREATE TABLE judgement (
    id INTEGER PRIMARY KEY,
    verdict TEXT NOT NULL, would TEXT NOT NULL, reason TEXT NOT NULL, rule TEXT NOT NULL, rule_at TEXT NOT NULL,
    stopped INTEGER NOT NULL,
    UNIQUE (verdict, would, reason, rule, rule_at)
) STRICT;
-- How an exchange ended: `class` is '' (well), 'dns', 'refused', 'unanswered', 'reset', 'tls' or 'other'.
CREATE TABLE ending (
    id INTEGER PRIMARY KEY, closed_by TEXT NOT NULL, closed_how TEXT NOT NULL, class TEXT NOT NULL,
    UNIQUE (closed_by, closed_how)
) STRICT;
-- Methods, schemes, standings, content types, body types: short words of small vocabularies.
CREATE TABLE word (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
-- What exchanges have in common. 0 where it is not known; a port without a host is 443.
CREATE TABLE manner (
    id INTEGER PRIMARY KEY,
    event INTEGER NOT NULL,      -- 0 a request or tunnel that was let out, 1 refused, 2 answered by the gate
    open INTEGER NOT NULL,       -- 1 while its end is not on record
    method INTEGER NOT NULL, scheme INTEGER NOT NULL, -- words
    port INTEGER NOT NULL,
    standing INTEGER NOT NULL,   -- a word
    status INTEGER NOT NULL, content_type INTEGER NOT NULL, body_type INTEGER NOT NULL, -- the types are words
    UNIQUE (method, scheme, port, status, content_type, body_type, standing, event, open)
) STRICT;
-- What flows have in common. '' and port 0 where it is not known.
CREATE TABLE course (
    id INTEGER PRIMARY KEY,
    host TEXT NOT NULL,          -- the name they were to go to, where who told of them knew one
    port INTEGER NOT NULL, protocol TEXT NOT NULL,
    state TEXT NOT NULL, rule TEXT NOT NULL, source TEXT NOT NULL,
    UNIQUE (host, port, protocol, state, rule, source)
) STRICT;
-- Paths with what varies taken out, see `store::index::template`. At most 200,000; 0 beyond that.
CREATE TABLE path (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- The days that are indexed. Each has tables of its own, see `day.sql`.
CREATE TABLE day (
    day INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    first_time INTEGER NOT NULL, last_time INTEGER NOT NULL,
    records INTEGER NOT NULL, exchanges INTEGER NOT NULL
) STRICT;

-- Sealed segments of which something could not be unpacked, with why.
CREATE TABLE unread (segment TEXT PRIMARY KEY, day INTEGER NOT NULL, why TEXT NOT NULL) STRICT; -- the day in which it begins

-- Exchanges whose end is not on record yet: where their rows are.
CREATE TABLE open (id INTEGER PRIMARY KEY, day INTEGER NOT NULL, seq INTEGER NOT NULL) STRICT;

-- What the records of kind `finding` say, the newest of each finding.
CREATE TABLE finding (
    id TEXT PRIMARY KEY, day INTEGER NOT NULL, -- of the newest record
    seq INTEGER NOT NULL, told INTEGER NOT NULL, -- the number and time of the newest record
    first_told INTEGER NOT NULL,
    kind TEXT NOT NULL, severity TEXT NOT NULL, score REAL NOT NULL, weight REAL NOT NULL,
    client TEXT NOT NULL, target TEXT NOT NULL, program TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL,
    english TEXT NOT NULL, japanese TEXT NOT NULL,
    line TEXT NOT NULL -- the record
) STRICT;
CREATE INDEX finding_client ON finding (client);
CREATE INDEX finding_target ON finding (target);

-- All of them, from which it is told anew when days are dropped.
CREATE TABLE told (seq INTEGER PRIMARY KEY, day INTEGER NOT NULL, id TEXT NOT NULL, line TEXT NOT NULL) STRICT;
CREATE INDEX told_id ON told (id);

-- Records of the other kinds that a person may ask for: gap, admin, policy, health, restraint, challenge, log_in, own, clients,
-- triage, lookup, device, checkpoint, retention, hold. `client` and `target` where the record has them, else ''.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY, day INTEGER NOT NULL, time INTEGER NOT NULL,
    kind TEXT NOT NULL, action TEXT NOT NULL, client TEXT NOT NULL, target TEXT NOT NULL,
    line TEXT NOT NULL -- the record
) STRICT;
CREATE INDEX event_kind ON event (kind, time);
CREATE INDEX event_client ON event (client) WHERE client <> '';

-- Which name a client had, and when: of records of kind `device`. `until` is NULL while nothing else is known.
CREATE TABLE device (
    seq INTEGER PRIMARY KEY, day INTEGER NOT NULL,
    client TEXT NOT NULL, name TEXT NOT NULL, hardware TEXT NOT NULL, source TEXT NOT NULL,
    since INTEGER NOT NULL, until INTEGER
) STRICT;
CREATE INDEX device_client ON device (client, since);
CREATE INDEX device_name ON device (name);
