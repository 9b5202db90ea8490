"""Moving files: the two transfer machines, the engine that carries out what they ask for, and the tasks of the workers."""
