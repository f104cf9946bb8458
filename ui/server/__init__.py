"""The server between nodes and browsers: a process of its own, so that nothing here can hold up trading."""
