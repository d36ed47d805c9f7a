//! What every [`SignalIndex`](super::SignalIndex) has to do; comes with the suite.
