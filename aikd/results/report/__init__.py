"""What people open: everything that a study found on one page, and as one document."""
