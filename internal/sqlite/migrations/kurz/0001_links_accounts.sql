-- Times are milliseconds since 1970; NULL is none.

-- What a redirect needs stands first, so that it is read from the row's first
-- page.
CREATE TABLE links (
    id              INTEGER NOT NULL PRIMARY KEY, -- grows with creation
    domain          TEXT    NOT NULL,             -- '': the default one
    code            TEXT    NOT NULL,
    owner           INTEGER,                      -- NULL: nobody
    version         INTEGER NOT NULL,
    redirect_status INTEGER NOT NULL,
    edge_ttl        INTEGER NOT NULL,             -- milliseconds
    forward_query   INTEGER NOT NULL,
    starts_at       INTEGER,
    expires_at      INTEGER,
    revoked_at      INTEGER,
    destination     TEXT    NOT NULL,
    expired_url     TEXT,
    alias           INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    destination_key INTEGER,                      -- hash of owner and destination; NULL without an owner
    content_key     INTEGER,                      -- hash of these and content_id; NULL without one of them
    operation       BLOB,
    content_id      TEXT,
    title           TEXT,
    tags            TEXT,                         -- JSON array of texts
    notes           TEXT
) STRICT;

-- The code first, for listings by code.
CREATE UNIQUE INDEX links_key ON links (code, domain);
CREATE UNIQUE INDEX links_operation ON links (operation) WHERE operation IS NOT NULL;
CREATE INDEX links_owner ON links (owner) WHERE owner IS NOT NULL;
CREATE INDEX links_destination ON links (destination_key) WHERE destination_key IS NOT NULL;
CREATE INDEX links_content ON links (content_key) WHERE content_key IS NOT NULL;

-- What was updated lately, for the caches of other processes.
CREATE TABLE link_changes (
    mark   INTEGER NOT NULL PRIMARY KEY,
    domain TEXT    NOT NULL,
    code   TEXT    NOT NULL
) STRICT;

CREATE TABLE users (
    id          INTEGER NOT NULL PRIMARY KEY,
    email       TEXT    NOT NULL UNIQUE,
    role        TEXT    NOT NULL,
    tier        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER,
    version     INTEGER NOT NULL
) STRICT;

CREATE INDEX users_created ON users (created_at, id);

CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    user         INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    hint         TEXT    NOT NULL,
    hash         BLOB    NOT NULL UNIQUE, -- SHA-256 of the secret
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_user ON api_keys (user, created_at, id);
