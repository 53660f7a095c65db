"""Work in other processes: how it is handed out, and how it ended."""
