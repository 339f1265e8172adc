//! Where configuration comes from: finding the file, reading it, keeping every value's place.
