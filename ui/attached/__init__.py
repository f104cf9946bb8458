"""The rest of the program as the server's ports: the only modules of the server that know `runtime`."""
