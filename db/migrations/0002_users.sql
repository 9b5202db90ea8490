CREATE TABLE users (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email           text NOT NULL CHECK (length(email) BETWEEN 1 AND 254),
    password_hash   text NOT NULL,
    role            text NOT NULL CHECK (role IN ('admin', 'operator', 'viewer', 'auditor')),
    -- Counted up to end every session of the user.
    session_version integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    disabled_at     timestamptz
);

CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE settings (
    key   text PRIMARY KEY,
    value jsonb NOT NULL
);
