"""What writes the generated parts of the pages, and what the site needs to be built. `make docs` runs both."""
