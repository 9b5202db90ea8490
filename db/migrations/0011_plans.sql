-- What a run with delete_extra removes at its destination: found first, removed afterwards, so that a crash in between begins again.
CREATE TABLE run_deletions (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id    bigint NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    path      bytea NOT NULL,
    directory boolean NOT NULL,
    size      bigint NOT NULL,
    mtime_ns  bigint NOT NULL,
    outcome   text NOT NULL DEFAULT 'due' CHECK (outcome IN ('due', 'deleted', 'kept', 'failed')),
    reason    text NOT NULL DEFAULT ''
);

CREATE UNIQUE INDEX run_deletions_path ON run_deletions (run_id, sha256(path));
CREATE INDEX run_deletions_by_run ON run_deletions (run_id, id);
-- Files before directories, and those that lie deepest first.
CREATE INDEX run_deletions_due ON run_deletions (run_id, directory, length(path) DESC, id) WHERE outcome = 'due';

ALTER TABLE runs
    ADD COLUMN files_deleted bigint NOT NULL DEFAULT 0,
    ADD COLUMN delete_errors bigint NOT NULL DEFAULT 0;

-- A dry run: what a run of the job would do, found out by asking both agents.
CREATE TABLE plans (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id       bigint NOT NULL REFERENCES jobs (id),
    job_version  integer NOT NULL,
    spec         jsonb NOT NULL,
    status       text NOT NULL DEFAULT 'planning' CHECK (status IN ('planning', 'ready', 'failed', 'cancelled')),
    reason       text NOT NULL DEFAULT '',
    requested_by text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    warnings     jsonb NOT NULL DEFAULT '[]',
    sums         jsonb NOT NULL DEFAULT '{}',
    -- A plan of which nothing is heard any more has lost the hub that made it.
    heard_at     timestamptz NOT NULL DEFAULT now(),
    remove_at    timestamptz NOT NULL DEFAULT now() + interval '7 days',
    run_id       bigint REFERENCES runs (id) ON DELETE SET NULL,
    -- How many files differ from what the run found; null until they are compared.
    drift        jsonb
);

CREATE INDEX plans_by_job ON plans (job_id, id);
CREATE INDEX plans_to_remove ON plans (remove_at);
CREATE INDEX plans_by_run ON plans (run_id) WHERE run_id IS NOT NULL;
CREATE UNIQUE INDEX plans_live ON plans (job_id) WHERE status = 'planning';

-- A plan has a million of them, so each costs two index entries and no look at its plan, which is removed after them (storage/plans.py, tidy).
CREATE TABLE plan_entries (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    plan_id     bigint NOT NULL,
    path        bytea NOT NULL,
    kind        text NOT NULL,
    size        bigint NOT NULL,
    mtime_ns    bigint NOT NULL,
    class       text NOT NULL CHECK (class IN ('new', 'changed', 'equal', 'extra', 'refused')),
    reason      text NOT NULL DEFAULT ''
);

CREATE UNIQUE INDEX plan_entries_path ON plan_entries (plan_id, sha256(path));
CREATE INDEX plan_entries_by_class ON plan_entries (plan_id, class, id);

-- Files that a run found otherwise than its plan had them.
CREATE TABLE plan_drift (
    id       bigint GENERATED ALWAYS AS IDENTITY,
    plan_id  bigint NOT NULL,
    path     bytea NOT NULL,
    kind     text NOT NULL,
    size     bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    drift    text NOT NULL CHECK (drift IN ('new', 'changed', 'gone'))
);

CREATE INDEX plan_drift_by_kind ON plan_drift (plan_id, drift, id);
