-- Every text of a click, once. 0, which no row has, is the empty text.
CREATE TABLE texts (
    id   INTEGER NOT NULL PRIMARY KEY,
    text TEXT    NOT NULL UNIQUE
) STRICT;

-- Clicks are stored in blocks, one after the other. Indexes begin with the
-- block, so that clicks on a million links go to a few pages of each index
-- rather than to as many pages as there are clicks; a search for a link's
-- clicks is one search in each block.
CREATE TABLE blocks (
    id       INTEGER NOT NULL PRIMARY KEY,
    first_id INTEGER NOT NULL, -- no click of the block has a lower id
    last_id  INTEGER NOT NULL, -- nor a higher one
    clicks   INTEGER NOT NULL  -- that were stored in it
) STRICT;

-- Single clicks. An id is 42 bits of milliseconds since 1970, which are the
-- click's time, and 21 more. From country on, columns are ids of texts.
CREATE TABLE clicks (
    id            INTEGER NOT NULL PRIMARY KEY,
    block         INTEGER NOT NULL,
    link          INTEGER NOT NULL,
    owner         INTEGER NOT NULL, -- 0: nobody
    kind          INTEGER NOT NULL, -- 1 human, 2 bot, 3 preview, 4 prefetch, 5 head
    via           INTEGER NOT NULL, -- 1 link, 2 QR code
    visitor       INTEGER NOT NULL, -- 0: not kept
    country       INTEGER NOT NULL,
    region        INTEGER NOT NULL,
    city          INTEGER NOT NULL,
    referrer      INTEGER NOT NULL,
    referrer_host INTEGER NOT NULL,
    browser       INTEGER NOT NULL,
    os            INTEGER NOT NULL,
    device        INTEGER NOT NULL,
    language      INTEGER NOT NULL,
    utm_source    INTEGER NOT NULL,
    utm_medium    INTEGER NOT NULL,
    utm_campaign  INTEGER NOT NULL,
    utm_term      INTEGER NOT NULL,
    utm_content   INTEGER NOT NULL
) STRICT;

-- Both end with the id, as every index of SQLite does.
CREATE INDEX clicks_link ON clicks (block, link);
CREATE INDEX clicks_owner ON clicks (block, owner) WHERE owner <> 0;

-- The clicks of people on each link, ever; also of those no longer in clicks.
CREATE TABLE totals (
    link   INTEGER NOT NULL PRIMARY KEY,
    humans INTEGER NOT NULL
) STRICT;

-- Up to where each log is counted.
CREATE TABLE positions (
    log      BLOB    NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
