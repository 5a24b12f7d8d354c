-- Times are milliseconds since 1970; 0 is none.
CREATE TABLE jobs (
    id           TEXT    NOT NULL PRIMARY KEY,
    kind         TEXT    NOT NULL,
    owner        INTEGER NOT NULL,
    params       BLOB    NOT NULL,
    status       TEXT    NOT NULL,
    chunks       INTEGER NOT NULL,
    row_count    INTEGER NOT NULL,
    succeeded    INTEGER NOT NULL,
    dead_letters INTEGER NOT NULL,
    position     BLOB    NOT NULL,
    error        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    started_at   INTEGER NOT NULL,
    finished_at  INTEGER NOT NULL,
    not_before   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    holder       TEXT    NOT NULL DEFAULT '', -- for people who look into it
    leased_until INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX jobs_waiting ON jobs (kind, created_at, id) WHERE status IN ('queued', 'running');

CREATE TABLE job_chunks (
    job  TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    n    INTEGER NOT NULL,
    data BLOB    NOT NULL,
    PRIMARY KEY (job, n)
) STRICT;

CREATE TABLE job_letters (
    job   TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    row   INTEGER NOT NULL,
    text  BLOB    NOT NULL,
    code  TEXT    NOT NULL,
    error TEXT    NOT NULL,
    PRIMARY KEY (job, row)
) STRICT, WITHOUT ROWID;
