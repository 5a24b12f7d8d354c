ALTER TABLE links ADD COLUMN archived_at INTEGER;

-- The search index: segments of links, made in the background.
CREATE TABLE search_segments (
    id    INTEGER NOT NULL PRIMARY KEY,
    docs  INTEGER NOT NULL, -- how many links it has
    live  INTEGER NOT NULL, -- of these, those that no other segment has
    first INTEGER NOT NULL, -- the lowest ID of a link
    last  INTEGER NOT NULL, -- the highest
    dead  BLOB              -- a bit for each link, set for those that another segment has; NULL: none
) STRICT;

CREATE TABLE search_blocks (
    id   INTEGER NOT NULL PRIMARY KEY, -- the segment's, times 65,536, and the place
    data BLOB    NOT NULL
) STRICT;

-- Links that are not in their segments as they are now.
CREATE TABLE search_loose (
    link INTEGER NOT NULL PRIMARY KEY
) STRICT;

-- One row.
CREATE TABLE search_state (
    id           INTEGER NOT NULL PRIMARY KEY,
    next_segment INTEGER NOT NULL,
    -- Links up to this ID are in a segment, or loose.
    covered      INTEGER NOT NULL,
    -- A segment is being made of links up to this ID: one that is stored or
    -- changed now is loose.
    taken        INTEGER NOT NULL
) STRICT;

INSERT INTO search_state (id, next_segment, covered, taken) VALUES (1, 1, 0, 0);
