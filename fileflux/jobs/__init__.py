"""What a job is and how its runs move; no I/O, no clock."""
