"""The HTTP service: patch a live model over REST, and predict."""
