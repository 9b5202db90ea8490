CREATE TABLE jobs (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    spec       jsonb NOT NULL,
    enabled    boolean NOT NULL DEFAULT true,
    version    integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    deleted_at timestamptz
);

-- A deleted job keeps its runs, not its name.
CREATE UNIQUE INDEX jobs_name ON jobs (name) WHERE deleted_at IS NULL;

CREATE TABLE runs (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id        bigint NOT NULL REFERENCES jobs (id),
    -- The job as it was when the run was made: an edit never changes a run.
    spec          jsonb NOT NULL,
    status        text NOT NULL DEFAULT 'queued' CHECK (status IN (
                      'queued', 'waiting_agent', 'planning', 'transferring', 'verifying', 'paused',
                      'succeeded', 'partial', 'failed', 'cancelled')),
    reason        text NOT NULL DEFAULT '',
    retry_of      bigint REFERENCES runs (id),
    requested_by  text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    started_at    timestamptz,
    ended_at      timestamptz,
    deadline_at   timestamptz NOT NULL,
    -- What the listing found out before its first page: how names map to the destination.
    plan          jsonb,
    planned       boolean NOT NULL DEFAULT false,
    files_total   bigint,
    files_done    bigint NOT NULL DEFAULT 0,
    files_failed  bigint NOT NULL DEFAULT 0,
    files_skipped bigint NOT NULL DEFAULT 0,
    bytes_total   bigint,
    bytes_done    bigint NOT NULL DEFAULT 0,
    bytes_wire    bigint NOT NULL DEFAULT 0,
    bytes_reused  bigint NOT NULL DEFAULT 0,
    lease_owner   uuid,
    lease_epoch   bigint NOT NULL DEFAULT 0,
    lease_until   timestamptz
);

CREATE INDEX runs_by_job ON runs (job_id, id);
CREATE INDEX runs_by_status ON runs (status, id);
CREATE INDEX runs_live ON runs (id) WHERE status NOT IN ('succeeded', 'partial', 'failed', 'cancelled');
