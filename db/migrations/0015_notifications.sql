-- Who is told of events, by webhook or mail.
CREATE TABLE notification_targets (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    kind            text NOT NULL CHECK (kind IN ('webhook', 'email')),
    url             text,
    addresses       text[] NOT NULL DEFAULT '{}',
    -- 'run.failed', 'run.*' or '*'.
    events          text[] NOT NULL,
    -- Empty: of every job. Tags are those of the job.
    job_ids         bigint[] NOT NULL DEFAULT '{}',
    tags            text[] NOT NULL DEFAULT '{}',
    enabled         boolean NOT NULL DEFAULT true,
    -- Why the hub itself disabled it.
    disabled_reason text NOT NULL DEFAULT '',
    -- What deliveries are signed with; the one before it signs as well until then.
    secret          text,
    old_secret      text,
    old_secret_ends timestamptz,
    -- In a row. While it is above a few, hold_until says when it is tried again.
    failures        integer NOT NULL DEFAULT 0,
    hold_until      timestamptz,
    -- Too much waits for it: nothing is added until that is less.
    full_up         boolean NOT NULL DEFAULT false,
    -- Mails of the minute that began then.
    minute_began    timestamptz,
    minute_mails    integer NOT NULL DEFAULT 0,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz
);

CREATE UNIQUE INDEX notification_targets_name ON notification_targets (name) WHERE deleted_at IS NULL;
-- Every event that happens is looked up here.
CREATE INDEX notification_targets_told ON notification_targets (id) WHERE enabled AND deleted_at IS NULL;

CREATE TABLE notification_events (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What receivers know it by: the same at every attempt.
    uid    uuid NOT NULL DEFAULT gen_random_uuid(),
    type   text NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id bigint,
    data   jsonb NOT NULL
);

-- How many files of a run were told of.
CREATE INDEX notification_events_by_run ON notification_events (run_id, type) WHERE run_id IS NOT NULL;
CREATE INDEX notification_events_by_age ON notification_events (at);

CREATE TABLE notification_deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    bigint NOT NULL REFERENCES notification_events (id) ON DELETE CASCADE,
    target_id   bigint NOT NULL REFERENCES notification_targets (id) ON DELETE CASCADE,
    status      text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    -- Counted up when one begins: what an older attempt still says is fenced off.
    attempts    integer NOT NULL DEFAULT 0,
    -- When it may be taken. Who takes it moves it to the end of a lease.
    due_at      timestamptz,
    last_at     timestamptz,
    http_status integer,
    answer      text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz
);

CREATE INDEX notification_deliveries_due ON notification_deliveries (target_id, due_at) WHERE status = 'pending';
CREATE INDEX notification_deliveries_old ON notification_deliveries (created_at);
CREATE INDEX notification_deliveries_log ON notification_deliveries (target_id, id);
CREATE INDEX notification_deliveries_by_event ON notification_deliveries (event_id);

-- Which agents were told to be online, so that what flaps is told once and a restart of the hub is not told at all.
CREATE TABLE agent_presence (
    agent_id bigint PRIMARY KEY REFERENCES agents (id) ON DELETE CASCADE,
    online   boolean NOT NULL,
    -- Where it connected last: only that hub may tell that it is gone.
    hub      uuid NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);
