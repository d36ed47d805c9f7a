//! operating_point
