"""From comparisons to estimates: rates, groups, differentials and search, and the engines behind them."""
