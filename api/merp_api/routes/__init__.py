"""The paths of the API. Each route reads what it is asked, calls one service and shapes the answer."""
