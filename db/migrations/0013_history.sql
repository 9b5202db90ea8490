-- A run that another one retries is kept as long as that one; found without looking through all runs, as it is when a run is made.
CREATE INDEX runs_by_retry ON runs (retry_of) WHERE retry_of IS NOT NULL;
