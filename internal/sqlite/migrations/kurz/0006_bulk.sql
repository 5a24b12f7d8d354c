-- Jobs of bulk uploads: who asks for which, what rows made, and which upload a
-- retry was. A job with status 'dropped' is there for no one but the sweep.
ALTER TABLE jobs ADD COLUMN operation BLOB;

CREATE UNIQUE INDEX jobs_operation ON jobs (operation) WHERE operation IS NOT NULL;

DROP INDEX jobs_waiting;

CREATE INDEX jobs_waiting ON jobs (kind, not_before, created_at, id) WHERE status IN ('queued', 'running');
CREATE INDEX jobs_owned ON jobs (kind, owner, created_at, id) WHERE status NOT IN ('receiving', 'dropped');
CREATE INDEX jobs_all ON jobs (kind, created_at, id) WHERE status NOT IN ('receiving', 'dropped');

-- The results of rows that follow one another, from first_row to last_row: of
-- each the lengths of domain and code (varint), these, and 1 if it was found.
-- Those of one job do not overlap.
CREATE TABLE job_results (
    job       TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    last_row  INTEGER NOT NULL,
    first_row INTEGER NOT NULL,
    data      BLOB    NOT NULL,
    PRIMARY KEY (job, last_row)
) STRICT;
