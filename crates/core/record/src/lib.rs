//! Record batch v2: read, validate, build, compress.
