//! What is tried, and the claims it tests.
