-- What people asked of live runs and transfers. It stands in rows, so that a hub that was killed a moment later still knows it.
ALTER TABLE runs
    ADD COLUMN wanted text CHECK (wanted IN ('pause', 'cancel')),
    ADD COLUMN wanted_by text NOT NULL DEFAULT '',
    -- The run ended while its destination was away, and parts may stand there.
    ADD COLUMN parts_left boolean NOT NULL DEFAULT false;

CREATE INDEX runs_parts_left ON runs (id) WHERE parts_left;

ALTER TABLE transfers ADD COLUMN cancelled_by text;
