"""The REST gateway: the contract under `/api/v1`, translated into custom resources and read back from the records."""
