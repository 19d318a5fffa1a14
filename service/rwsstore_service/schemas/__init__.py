"""What requests and answers look like, with their bounds."""
