"""What a browser opens: the terminal, the login, the description of the API."""
