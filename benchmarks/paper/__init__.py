"""The paper's tables and figures in kind: one resumable command each."""
