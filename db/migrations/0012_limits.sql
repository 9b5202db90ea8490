-- Bytes per second of everything that an agent sends and receives; null for no limit. What its own configuration says stands in its info.
ALTER TABLE agents
    ADD COLUMN bandwidth_limit     bigint CHECK (bandwidth_limit > 0),
    ADD COLUMN bandwidth_timetable jsonb NOT NULL DEFAULT '[]';

CREATE INDEX agents_limited ON agents (id)
    WHERE bandwidth_limit IS NOT NULL OR bandwidth_timetable <> '[]' OR info->>'bandwidth_limit' <> '0';
