"""The paper's claims as data, and what they are checked on in a study."""
