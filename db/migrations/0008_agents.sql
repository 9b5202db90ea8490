ALTER TABLE agents
    -- Made by `fileflux send` for this machine: left out of lists, gone when the command ends.
    ADD COLUMN temporary boolean NOT NULL DEFAULT false,
    ADD COLUMN created_by text NOT NULL DEFAULT '';

-- The token that a rotation made for the same agent; this one ends a while later.
ALTER TABLE agent_tokens ADD COLUMN replaced_by bigint REFERENCES agent_tokens (id);

CREATE INDEX agents_temporary ON agents (id) WHERE temporary AND status <> 'revoked';

-- What somebody should look at. Repeated, it counts up instead of filling the table.
CREATE TABLE alerts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    object       text NOT NULL,
    message      text NOT NULL,
    count        integer NOT NULL DEFAULT 1,
    first_at     timestamptz NOT NULL DEFAULT now(),
    last_at      timestamptz NOT NULL DEFAULT now(),
    dismissed_at timestamptz,
    dismissed_by text
);

CREATE UNIQUE INDEX alerts_open ON alerts (kind, object) WHERE dismissed_at IS NULL;
