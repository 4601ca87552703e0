"""The contract of mERP Scheduler: its custom resources, names, reasons, and what their schedules mean."""
