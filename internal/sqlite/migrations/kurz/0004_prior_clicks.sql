-- How often a link was followed before it was imported.
ALTER TABLE links ADD COLUMN prior_clicks INTEGER NOT NULL DEFAULT 0;
