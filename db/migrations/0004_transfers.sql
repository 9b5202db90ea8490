CREATE TABLE transfers (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id           bigint NOT NULL REFERENCES runs (id),
    -- Copied from the run, so that a job's history is one index scan.
    job_id           bigint NOT NULL,
    path             bytea NOT NULL,
    filename         text NOT NULL,
    kind             text NOT NULL DEFAULT 'file',
    size             bigint NOT NULL CHECK (size >= 0),
    mtime_ns         bigint NOT NULL,
    mode             integer NOT NULL,
    status           text NOT NULL DEFAULT 'pending' CHECK (status IN (
                         'pending', 'waiting', 'transferring', 'verifying',
                         'completed', 'skipped', 'failed', 'cancelled')),
    reason           text NOT NULL DEFAULT '',
    code             text NOT NULL DEFAULT '',
    part             character(32) NOT NULL,
    final_path       bytea,
    attempt          integer NOT NULL DEFAULT 0,
    retry_count      integer NOT NULL DEFAULT 0,
    bytes_done       bigint NOT NULL DEFAULT 0,
    bytes_wire       bigint NOT NULL DEFAULT 0,
    bytes_reused     bigint NOT NULL DEFAULT 0,
    compression      text,
    chunk_size       integer NOT NULL,
    total_chunks     integer NOT NULL,
    completed_chunks integer NOT NULL DEFAULT 0,
    file_hash        bytea CHECK (length(file_hash) = 32),
    started_at       timestamptz,
    ended_at         timestamptz
);

-- Paths are up to 4,096 bytes and an index entry is not, hence the hash.
CREATE UNIQUE INDEX transfers_path ON transfers (run_id, sha256(path));
CREATE INDEX transfers_by_run ON transfers (run_id, id);
CREATE INDEX transfers_by_job ON transfers (job_id, id);
CREATE INDEX transfers_by_status ON transfers (status, id);
CREATE INDEX transfers_pending ON transfers (run_id, id)
    WHERE status NOT IN ('completed', 'skipped', 'failed', 'cancelled');

CREATE TABLE run_directories (
    run_id   bigint NOT NULL REFERENCES runs (id),
    path     bytea NOT NULL,
    depth    integer NOT NULL,
    mode     integer NOT NULL,
    mtime_ns bigint NOT NULL,
    done     boolean NOT NULL DEFAULT false
);

CREATE UNIQUE INDEX run_directories_path ON run_directories (run_id, sha256(path));
CREATE INDEX run_directories_pending ON run_directories (run_id, depth DESC) WHERE NOT done;
