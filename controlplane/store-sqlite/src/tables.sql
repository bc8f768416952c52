-- One row: what the other tables hold. The checksum is over all of it.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    cluster_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    time INTEGER NOT NULL,
    compacted INTEGER NOT NULL,
    forgotten INTEGER NOT NULL,
    forgotten_time INTEGER NOT NULL,
    position BLOB NOT NULL,
    current_rows INTEGER NOT NULL,
    current_sum INTEGER NOT NULL,
    current_bytes INTEGER NOT NULL,
    past_rows INTEGER NOT NULL,
    past_sum INTEGER NOT NULL,
    past_bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- The version of each object that is in force. With a row id, a value beside its key fills its page; in a table
-- WITHOUT ROWID, a value of 1 KiB would take a page of its own.
CREATE TABLE current (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    previous INTEGER,
    place INTEGER NOT NULL,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    expires INTEGER,
    splice INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;

-- Versions that were replaced or deleted, in the order in which they ended: the id is the revision that did it, times
-- 2^20, plus the place in that transaction.
CREATE TABLE past (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    previous INTEGER,
    place INTEGER NOT NULL,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    expires INTEGER,
    splice INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    deleted_by TEXT,
    checksum INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;
