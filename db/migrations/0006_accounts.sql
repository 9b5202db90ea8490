ALTER TABLE users
    ADD COLUMN name text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    ADD COLUMN last_login_at timestamptz;

-- One login. A row is a session that lives until expires_at; ending one removes it, and the audit log keeps why.
CREATE TABLE user_sessions (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id        bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Of the part that all refresh tokens of the session share, and of the only one that still counts: whoever knows the first and
    -- comes with another token has an old one.
    family_sha256  bytea NOT NULL UNIQUE CHECK (length(family_sha256) = 32),
    refresh_sha256 bytea NOT NULL CHECK (length(refresh_sha256) = 32),
    address        text NOT NULL DEFAULT '',
    client         text NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL,
    last_used_at   timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL
);

CREATE INDEX user_sessions_by_user ON user_sessions (user_id, id);
CREATE INDEX user_sessions_by_end ON user_sessions (expires_at);

-- What scripts prove themselves with: a part of what their user may do.
CREATE TABLE api_keys (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id      bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    prefix       text NOT NULL,
    sha256       bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    scopes       text[] NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

CREATE INDEX api_keys_by_user ON api_keys (user_id, id);

-- The audit list is read newest first, alone or by one of these.
CREATE INDEX audit_by_actor ON audit (actor, id);
CREATE INDEX audit_by_action ON audit (action, id);
CREATE INDEX audit_by_object ON audit (object, id);
CREATE INDEX audit_by_outcome ON audit (outcome, id) WHERE outcome <> 'ok';
CREATE INDEX audit_by_time ON audit (at, id);
