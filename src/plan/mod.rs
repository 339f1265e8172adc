//! What is to be done, in which order. Runs nothing.
