"""`llmos bench`: measurements side by side with other servers, one row for each promise."""
