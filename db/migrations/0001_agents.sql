CREATE TABLE agents (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 255),
    description text NOT NULL DEFAULT '',
    tags        text[] NOT NULL DEFAULT '{}',
    -- Counts the agent's connections: what an older connection still says is fenced off.
    epoch       bigint NOT NULL DEFAULT 0,
    -- Online and offline are live facts that the hub lays over 'known'.
    status      text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'pending', 'known', 'revoked')),
    info        jsonb NOT NULL DEFAULT '{}',
    last_seen   timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE agent_tokens (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id     bigint NOT NULL REFERENCES agents (id),
    name         text NOT NULL,
    -- What is shown of the value; the value itself is nowhere.
    prefix       text NOT NULL,
    sha256       bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

CREATE INDEX agent_tokens_by_agent ON agent_tokens (agent_id);
