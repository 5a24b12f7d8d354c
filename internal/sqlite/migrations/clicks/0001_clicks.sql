-- Every text of a click, once. 0, which no row has, is the empty text.
CREATE TABLE texts (
    id   INTEGER NOT NULL PRIMARY KEY,
    text TEXT    NOT NULL UNIQUE
) STRICT;

-- Single clicks, in parts that are never changed: the clicks of a part are in
-- chunks (see internal/columns), sorted by link. A batch is a part; small parts
-- become larger ones.
CREATE TABLE parts (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- never used again
    rolled   INTEGER NOT NULL, -- 1: its clicks are in rollups and totals too
    clicks   INTEGER NOT NULL,
    first_id INTEGER NOT NULL, -- no click has a lower id
    last_id  INTEGER NOT NULL, -- nor a higher one
    outline  BLOB    NOT NULL  -- the first link of each chunk
) STRICT;

-- A chunk's id is its part's, times 65536, and its place in it.
CREATE TABLE chunks (
    id   INTEGER NOT NULL PRIMARY KEY,
    data BLOB    NOT NULL
) STRICT;

-- The clicks of a rolled part a second time, by column, for reports of many
-- links, and the visitors of each of its days. An id is the part's, the column's
-- in 6 bits and the block's in 13.
CREATE TABLE sheets (
    id   INTEGER NOT NULL PRIMARY KEY,
    data BLOB    NOT NULL
) STRICT;

-- What is counted of the clicks of a rolled part that have one value, where
-- these are many.
CREATE TABLE shares (
    part      INTEGER NOT NULL,
    dimension INTEGER NOT NULL, -- its place in a report
    text      INTEGER NOT NULL,
    data      BLOB    NOT NULL,
    PRIMARY KEY (part, dimension, text)
) STRICT;

-- What is counted in advance, of the clicks in rolled parts and of those that
-- were in them.
CREATE TABLE rollups (
    kind    INTEGER NOT NULL, -- 0 everybody, 1 owner, 2 link
    subject INTEGER NOT NULL,
    grain   INTEGER NOT NULL, -- 0 slot counts, 1 slot visitors, 2 days, 3 months, 4 numbers of days, 5 to 7 sketches of days, 8 and 10 of weeks
    period  INTEGER NOT NULL, -- day or month since 1970
    data    BLOB    NOT NULL,
    PRIMARY KEY (kind, subject, grain, period)
) STRICT;

-- The clicks on each link, ever; but for those in parts that are not rolled.
CREATE TABLE totals (
    link   INTEGER NOT NULL PRIMARY KEY,
    humans INTEGER NOT NULL, -- clicks of people
    clicks INTEGER NOT NULL, -- of everybody
    rolled INTEGER NOT NULL  -- 1: there are rollups of it
) STRICT;

-- Up to where each log is counted.
CREATE TABLE positions (
    log      BLOB    NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- horizon: before this time, in milliseconds since 1970, single clicks are gone.
CREATE TABLE facts (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
