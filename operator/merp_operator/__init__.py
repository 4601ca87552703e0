"""The operator: ScheduledJobs become CronJobs, requests become Jobs, and what becomes of them is told and recorded."""
