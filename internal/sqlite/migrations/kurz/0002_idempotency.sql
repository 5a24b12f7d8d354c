-- Times are milliseconds since 1970.
CREATE TABLE idempotency (
    id           BLOB    NOT NULL PRIMARY KEY,
    fingerprint  BLOB    NOT NULL,
    operation    BLOB    NOT NULL,
    holder       BLOB,             -- NULL: the lease was given back
    leased_until INTEGER NOT NULL,
    kept_until   INTEGER NOT NULL,
    status       INTEGER,          -- of the answer; NULL: there is none yet
    header       TEXT,             -- of the answer: a JSON object
    body         BLOB              -- of the answer
) STRICT;

-- What has no answer yet: few.
CREATE INDEX idempotency_open ON idempotency (id) WHERE status IS NULL;
CREATE INDEX idempotency_kept_until ON idempotency (kept_until);
