-- When a job fires next. ``next_fire`` is the time that the schedule names, ``due_at`` that time with the job's jitter: what is looked for.
ALTER TABLE jobs
    ADD COLUMN next_fire    timestamptz,
    ADD COLUMN due_at       timestamptz,
    ADD COLUMN last_run_id  bigint,
    ADD COLUMN last_run_at  timestamptz,
    -- When it is looked whether a run has succeeded (``expected_by``), and since when one counts.
    ADD COLUMN expect_at    timestamptz,
    ADD COLUMN expect_since timestamptz;

CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_upcoming ON jobs (next_fire, id) WHERE next_fire IS NOT NULL;
CREATE INDEX jobs_expected ON jobs (expect_at) WHERE expect_at IS NOT NULL;

ALTER TABLE runs
    -- What started it; ``requested_by`` says who.
    ADD COLUMN trigger   text NOT NULL DEFAULT 'user' CHECK (trigger IN ('user', 'schedule', 'watch', 'retry')),
    ADD COLUMN fire_time timestamptz,
    -- It begins when that run, and every other live one of its job made before it, has ended.
    ADD COLUMN after_run bigint REFERENCES runs (id);

-- A schedule's tick starts at most one run, on any number of hubs.
CREATE UNIQUE INDEX runs_fire ON runs (job_id, fire_time) WHERE fire_time IS NOT NULL;
CREATE INDEX runs_live_by_job ON runs (job_id, id) WHERE status NOT IN ('succeeded', 'partial', 'failed', 'cancelled');
-- What deleting old runs looks for.
CREATE INDEX runs_by_predecessor ON runs (after_run) WHERE after_run IS NOT NULL;
