-- on_success: what is still to be done with the source's file of a completed transfer, and which version of it was moved.
ALTER TABLE transfers
    ADD COLUMN source_identity text,
    ADD COLUMN release text CHECK (release IN ('due', 'done', 'failed'));

CREATE INDEX transfers_release ON transfers (run_id, id) WHERE release = 'due';

-- Names of a run as its destination's system compares them, where it takes different ones for the same. The first that came holds one.
CREATE TABLE run_names (
    run_id    bigint NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    -- SHA-256 of the folded name: names are longer than an index entry.
    key       bytea NOT NULL,
    path      bytea NOT NULL,
    directory boolean NOT NULL,
    PRIMARY KEY (run_id, key)
);
