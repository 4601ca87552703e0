"""The tasks that an ERP schedules first. An ordinary user of merp-runner: importing this registers them."""

from merp_tasks import inventory, production, sync

__all__ = ["inventory", "production", "sync"]
