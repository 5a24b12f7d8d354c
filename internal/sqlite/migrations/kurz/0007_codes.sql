-- What is counted for codes: the next number of each sequence.
CREATE TABLE code_numbers (
    name TEXT    NOT NULL PRIMARY KEY,
    next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Codes made ahead. One that was taken stays until a link has it, so that it is
-- not made again.
CREATE TABLE code_pool (
    id     INTEGER NOT NULL PRIMARY KEY,
    length INTEGER NOT NULL,
    code   TEXT    NOT NULL UNIQUE,
    taken  INTEGER NOT NULL
) STRICT;

CREATE INDEX code_pool_left ON code_pool (length, id) WHERE taken = 0;

-- Who has which node number, until when, in milliseconds since 1970.
CREATE TABLE code_nodes (
    node         INTEGER NOT NULL PRIMARY KEY,
    holder       TEXT    NOT NULL,
    leased_until INTEGER NOT NULL
) STRICT;
