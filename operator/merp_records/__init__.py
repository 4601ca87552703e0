"""What the database remembers of jobs and their executions. The operator writes it, the gateway reads."""
