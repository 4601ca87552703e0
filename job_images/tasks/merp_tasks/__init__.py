"""The tasks that an ERP schedules first. An ordinary user of merp-runner: importing this registers them."""

from merp_tasks import backups, commands, http_requests, inventory, production, purge, reports, scripts, sync

__all__ = ["backups", "commands", "http_requests", "inventory", "production", "purge", "reports", "scripts", "sync"]
