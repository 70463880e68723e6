"""Results to text, CSV, JSON. Functions of data that return text; whoever calls them prints it."""
