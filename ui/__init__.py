"""The edge towards people: reports, and later the terminal. Knows nothing of `runtime`."""
