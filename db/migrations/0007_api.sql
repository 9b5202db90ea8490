-- Answers to requests with an Idempotency-Key. A row without a status is a request that has not been answered yet.
CREATE TABLE idempotency_keys (
    actor       text NOT NULL,
    key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    route       text NOT NULL,
    body_sha256 bytea NOT NULL CHECK (length(body_sha256) = 32),
    status      integer,
    headers     jsonb NOT NULL DEFAULT '{}',
    -- As it was sent, with the secrets taken out.
    body        text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Who made a job what it is, version by version; the newest is the job's own row.
CREATE TABLE job_versions (
    job_id     bigint NOT NULL REFERENCES jobs (id),
    version    integer NOT NULL,
    spec       jsonb NOT NULL,
    enabled    boolean NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, version)
);

INSERT INTO job_versions (job_id, version, spec, enabled, changed_by, changed_at)
SELECT id, version, spec, enabled, created_by, updated_at FROM jobs;

-- Made for one run by `fileflux send`: left out of the list of jobs.
ALTER TABLE jobs ADD COLUMN ad_hoc boolean NOT NULL DEFAULT false;

-- The dashboard adds up a day of runs from this index alone.
CREATE INDEX runs_by_end ON runs (ended_at) INCLUDE (id, job_id, status, bytes_done, bytes_wire, bytes_reused)
    WHERE ended_at IS NOT NULL;

-- Lists are read by keyset: one index for each order and the filters it begins with; fileflux/storage/pages.py says why the orders of
-- some are spelled in another way than the column.
DROP INDEX runs_by_status;
CREATE INDEX runs_by_created ON runs (created_at, id);
CREATE INDEX runs_by_status ON runs (status, coalesce(created_at, '-infinity'), id);
CREATE INDEX runs_by_job_id ON runs (job_id, (id + 0));
CREATE INDEX runs_by_job_status ON runs (job_id, status, coalesce(created_at, 'infinity'), id);
CREATE INDEX runs_by_source
    ON runs (((spec ->> 'source_agent_id')::bigint), status, coalesce(created_at, 'infinity'), id);
CREATE INDEX runs_by_destination
    ON runs (((spec ->> 'destination_agent_id')::bigint), status, coalesce(created_at, 'infinity'), id);
CREATE INDEX runs_by_status_start ON runs (status, coalesce(started_at, 'infinity'), id);
CREATE INDEX runs_by_job_start ON runs (job_id, status, coalesce(started_at, 'infinity'), id);
CREATE INDEX runs_by_status_end ON runs (status, coalesce(ended_at, 'infinity'), id);

DROP INDEX transfers_by_run, transfers_by_job, transfers_by_status;
CREATE INDEX transfers_by_run ON transfers (run_id, status, (id + 0));
CREATE INDEX transfers_by_job ON transfers (job_id, status, (id + 0));
CREATE INDEX transfers_by_status ON transfers (status, (id - 0));
CREATE INDEX transfers_by_start ON transfers (run_id, coalesce(started_at, 'infinity'), id);
-- What a run left undone, in order; most files never come in here.
CREATE INDEX transfers_undone ON transfers (run_id, id) WHERE status IN ('failed', 'cancelled');

CREATE INDEX jobs_listed ON jobs (ad_hoc, id) WHERE deleted_at IS NULL;
CREATE INDEX jobs_by_name ON jobs (ad_hoc, name, id) WHERE deleted_at IS NULL;
CREATE INDEX jobs_by_created ON jobs (ad_hoc, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX jobs_by_updated ON jobs (ad_hoc, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX jobs_by_tag ON jobs USING gin ((spec -> 'tags'));
CREATE INDEX jobs_by_source ON jobs (((spec ->> 'source_agent_id')::bigint), id);
CREATE INDEX jobs_by_destination ON jobs (((spec ->> 'destination_agent_id')::bigint), id);
