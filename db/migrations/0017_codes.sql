-- The files of a run by the code of what became of them. Few have one, so the index is small and most writes do not touch it.
CREATE INDEX transfers_by_code ON transfers (run_id, code, status, (id + 0)) WHERE code <> '';
