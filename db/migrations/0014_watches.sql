-- How the watch of a job does, for people, and what waits for its next run.
CREATE TABLE watches (
    job_id        bigint PRIMARY KEY REFERENCES jobs (id),
    -- What is watched for (jobs/arrivals.py); what arrived under another one is not for this watch.
    origin        bytea NOT NULL,
    status        text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'ok', 'degraded', 'failed')),
    how           text NOT NULL DEFAULT '' CHECK (how IN ('', 'native', 'looking')),
    reason        text NOT NULL DEFAULT '',
    since         timestamptz NOT NULL DEFAULT now(),
    seen          bigint NOT NULL DEFAULT 0,
    waiting       bigint NOT NULL DEFAULT 0,
    waiting_since timestamptz,
    last_run_id   bigint,
    last_fired    timestamptz
);

CREATE INDEX watches_to_fire ON watches (job_id) WHERE waiting > 0;
CREATE INDEX jobs_watching ON jobs (id)
    WHERE enabled AND NOT ad_hoc AND deleted_at IS NULL AND jsonb_typeof(spec -> 'watch') = 'object';
-- Whether a run by a watch is live.
CREATE INDEX runs_live_by_watch ON runs (job_id)
    WHERE trigger = 'watch' AND status NOT IN ('succeeded', 'partial', 'failed', 'cancelled');

-- The versions of files that a watch has had moved already, or that wait for it: offered again, they are passed over.
CREATE TABLE watch_seen (
    job_id   bigint NOT NULL REFERENCES jobs (id),
    -- SHA-256 of the source's agent and the file's path there.
    key      bytea NOT NULL,
    size     bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, key)
);

CREATE INDEX watch_seen_by_age ON watch_seen (job_id, seen_at);

-- Files that are ready and in no run yet.
CREATE TABLE watch_arrivals (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id    bigint NOT NULL REFERENCES jobs (id),
    origin    bytea NOT NULL,
    key       bytea NOT NULL,
    base      bytea NOT NULL,
    path_type text NOT NULL CHECK (path_type IN ('file', 'directory', 'glob')),
    path      bytea NOT NULL,
    kind      text NOT NULL CHECK (kind IN ('file', 'symlink')),
    size      bigint NOT NULL,
    mtime_ns  bigint NOT NULL,
    mode      bigint NOT NULL,
    UNIQUE (job_id, key)
);

CREATE INDEX watch_arrivals_in_order ON watch_arrivals (job_id, id);
