"""The process: a socket, HTTP/1 with deadlines, limits on what arrives."""
